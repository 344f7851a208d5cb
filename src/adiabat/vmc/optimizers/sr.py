"""Stochastic reconfiguration in sample space, with the momentum of SPRING."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Inexact, Int

from adiabat.config import check_settings, setting, wired
from adiabat.vmc.optimizers.schedules import Schedule, Standard, at
from adiabat.vmc.optimizers.scores import Scores, scores
from adiabat.vmc.protocols import NumericWavefunctionEvaluate, Walker

PyTree = Any


class SRState(NamedTuple):
    """State of `SROptimizer`."""

    step: Int[Array, ""]
    direction: Float[Array, " parameters"]
    """Previous direction before any scaling, which SPRING carries on; all parameters, leaf after leaf."""
    diagnostics: dict[str, Float[Array, ""]]
    """Damping in force, Fubini-Study length of the update, and whether the solver fell back, of the last step."""


@dataclass(frozen=True)
class SROptimizer:
    """Natural gradient ``(O^T O + damping)^-1 O^T e``, solved with the Gram matrix ``O O^T`` of the walkers.

    O are the centred scores divided by the square root of the number of walkers, e twice the centred local energies
    divided by it. With the previous direction p and momentum mu the step is the one that minimises
    ``|O delta - e|^2 + damping |delta - mu p|^2``, that is ``delta = mu p + O^T (O O^T + damping)^-1 (e - mu O p)``.

    Near a node of psi the scores of a walker grow without bound. As a walker of vanishing weight it would be harmless,
    but it alone would set the damping that the condition number asks for, and hide the metric of all others.

    References: Sorella, PRL 80, 4558 (1998); Chen and Heyl, Nature Physics 20, 1476 (2024) for sample space;
    Goldshlager, Abrahamsen and Lin, J. Comput. Phys. 516, 113351 (2024) for the momentum (SPRING).
    """

    learning_rate: Schedule = setting(
        factory=Standard,
        kind="schedules",
        help="step size along the natural gradient: half the imaginary time of a step",
    )
    max_norm: float | Literal["fixed"] | None = setting(
        None, help="cap on the Euclidean norm of an update; fixed: every update has the norm learning_rate"
    )
    max_length: float | None = setting(
        0.1,
        above=0,
        help="cap on the Fubini-Study length of an update (how far it moves the state); null: none",
    )
    damping: Schedule = setting(1e-3, kind="schedules", above=0, help="added to the Gram matrix")
    max_cond_num: float | None = setting(
        1e7, above=1, help="damping is raised until the condition number is below this; null: never"
    )
    max_score: float | None = setting(
        20.0,
        above=1,
        help="walkers with scores longer than this many medians weigh less, as if theirs were so long; null: never",
    )
    spring_mu: float | None = setting(0.9, min=0, below=1, help="momentum of SPRING; null: none")
    score_chunk_size: int | None = setting(128, min=1, help="walkers whose scores are computed at a time; null: all")
    f_log_psi: NumericWavefunctionEvaluate | None = wired()

    needs_gradient: ClassVar[bool] = False
    """The direction follows from the residuals; a gradient would be computed in vain."""

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self, params: PyTree, **kwargs: Any) -> SRState:
        """State before the first update."""
        del kwargs
        zero = jnp.zeros((), jnp.float32)
        return SRState(
            jnp.zeros((), jnp.int32),
            jnp.zeros_like(ravel_pytree(params)[0]),
            {"damping": zero, "update_length": zero, "solver_fallback": zero},
        )

    def update(
        self,
        grads: PyTree,
        state: SRState,
        params: PyTree,
        *,
        batched_data: Walker,
        residuals: Inexact[Array, " walkers"],
        **kwargs: Any,
    ) -> tuple[PyTree, SRState]:
        """Update to add to the parameters.

        ``residuals`` are ``2 (E_n - <E>) / sqrt(N)``; the gradient itself is their product with the scores and is not
        needed.
        """
        del grads, kwargs
        if self.f_log_psi is None:
            raise ValueError("SROptimizer was used before it was wired: give it f_log_psi")
        table = scores(self.f_log_psi, params, batched_data, chunk=self.score_chunk_size)
        overlap = _CentredScores(table)
        momentum = (self.spring_mu or 0.0) * state.direction
        target = jnp.concatenate([residuals.real, residuals.imag]) if jnp.iscomplexobj(residuals) else residuals
        gram, weights = overlap.gram(self.max_score)
        damping = self._damping(state.step, gram)
        solution, fell_back = _solve(gram, damping, weights * (target - overlap.dot(momentum)))
        direction = momentum + overlap.transpose_dot(weights * solution)
        length = jnp.linalg.norm(weights * overlap.dot(direction))
        scale = self._scale(state.step, direction, length)
        _, as_parameters = ravel_pytree(params)
        updates = as_parameters(-scale.astype(direction.dtype) * direction)
        diagnostics = {
            "damping": damping.astype(jnp.float32),
            "update_length": (scale * length).astype(jnp.float32),
            "solver_fallback": fell_back.astype(jnp.float32),
        }
        return updates, SRState(state.step + 1, direction, diagnostics)

    def _damping(self, step: Int[Array, ""], gram: Float[Array, "rows rows"]) -> Float[Array, ""]:
        damping = at(self.damping, step).astype(gram.dtype)
        if self.max_cond_num is None:
            return damping
        return jnp.maximum(damping, _largest_eigenvalue(gram) / (self.max_cond_num - 1))

    def _scale(self, step: Int[Array, ""], direction: Array, length: Float[Array, ""]) -> Float[Array, ""]:
        rate = at(self.learning_rate, step)
        norm = jnp.linalg.norm(direction)
        if self.max_norm == "fixed":
            rate = rate / (norm + 1e-8)
        elif self.max_norm is not None:
            rate = jnp.minimum(rate, self.max_norm / (norm + 1e-8))
        if self.max_length is not None:
            rate = jnp.minimum(rate, self.max_length / (length + 1e-8))
        return rate


class _CentredScores:
    """Scores less their mean over the walkers, divided by the square root of the number of walkers."""

    def __init__(self, table: Scores) -> None:
        self.table = table
        self.parts = table.parts
        self.root = jnp.sqrt(jnp.asarray(table.rows // table.parts, table.columns.dtype))

    def _centre(self, rows: Float[Array, " rows"]) -> Float[Array, " rows"]:
        blocks = rows.reshape(self.parts, -1)
        return (blocks - jnp.mean(blocks, axis=1, keepdims=True)).reshape(-1)

    def gram(self, max_score: float | None) -> tuple[Float[Array, "rows rows"], Float[Array, " rows"]]:
        """Gram matrix of the weighted scores in float64, and the weights.

        Its null vectors are lifted to eigenvalue 1, so that it can be factorised as it is.
        """
        size, parts = self.table.rows, self.parts
        gram = self.table.gram().reshape(parts, size // parts, parts, size // parts)
        gram = gram - jnp.mean(gram, axis=1, keepdims=True)
        gram = gram - jnp.mean(gram, axis=3, keepdims=True)
        gram = gram.reshape(size, size) * (parts / size)
        weights = jnp.ones(size // parts, gram.dtype)
        if max_score is not None:
            lengths = jnp.sqrt(jnp.sum(jnp.diag(gram).reshape(parts, -1), axis=0))
            longest = max_score * jnp.median(lengths)
            weights = jnp.where((lengths > longest) & (longest > 0), longest / lengths, weights)
        null = (1 / weights) / jnp.linalg.norm(1 / weights)
        every = jnp.tile(weights, parts)
        gram = (gram + gram.T) / 2 * every[:, None] * every
        gram = gram + jnp.kron(jnp.eye(parts, dtype=gram.dtype), jnp.outer(null, null))
        return gram, every.astype(self.root.dtype)

    def dot(self, vector: Float[Array, " parameters"]) -> Float[Array, " rows"]:
        return self._centre(self.table.dot(vector)) / self.root

    def transpose_dot(self, weights: Float[Array, " rows"]) -> Float[Array, " parameters"]:
        return self.table.transpose_dot(self._centre(weights) / self.root)


def _largest_eigenvalue(matrix: Float[Array, "rows rows"], iterations: int = 10) -> Float[Array, ""]:
    """Power iteration from a fixed start."""
    start = jnp.cos(jnp.arange(matrix.shape[0], dtype=matrix.dtype) ** 2)

    def multiply(vector: Array, _: None) -> tuple[Array, Array]:
        image = matrix @ vector
        length = jnp.linalg.norm(image)
        return image / jnp.maximum(length, jnp.finfo(matrix.dtype).tiny), length

    _, lengths = jax.lax.scan(multiply, start / jnp.linalg.norm(start), None, length=iterations)
    return lengths[-1]


def _solve(
    gram: Float[Array, "rows rows"], damping: Float[Array, ""], target: Float[Array, " rows"]
) -> tuple[Float[Array, " rows"], Array]:
    """``(gram + damping)^-1 target`` by Cholesky in float64; by eigenvalues, and saying so, where that fails."""
    damped = gram + damping * jnp.eye(len(gram), dtype=gram.dtype)
    wide = target.astype(gram.dtype)
    by_cholesky = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(damped, lower=True), wide)
    failed = ~jnp.all(jnp.isfinite(by_cholesky)) & jnp.all(jnp.isfinite(damped)) & jnp.all(jnp.isfinite(wide))

    def by_eigenvalues(_: None) -> Array:
        values, vectors = jnp.linalg.eigh(damped)
        usable = values > values[-1] * 1e-12
        return vectors @ (jnp.where(usable, 1 / jnp.where(usable, values, 1), 0) * (vectors.T @ wide))

    solution = jax.lax.cond(failed, by_eigenvalues, lambda _: by_cholesky, None)
    return solution.astype(target.dtype), failed
