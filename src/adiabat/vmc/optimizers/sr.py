"""Stochastic reconfiguration with the momentum of SPRING and the metric of MARCH."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Inexact, Int

from adiabat.config import setting, wired
from adiabat.engine.schedules import Schedule, Standard, at
from adiabat.errors import InputError
from adiabat.vmc.optimizers import march
from adiabat.vmc.optimizers.auto_damping import AutoDamping, DampingState, init_damping, next_damping
from adiabat.vmc.optimizers.least_squares import LeastSquares, Solution, matrix_free, parameter_space, sample_space
from adiabat.vmc.optimizers.natural_gradient import NaturalGradient, Slope, as_updates
from adiabat.vmc.optimizers.solver_cost import cheapest
from adiabat.vmc.protocols import NumericWavefunctionEvaluate, Walker
from adiabat.vmc.scores.centred import CentredScores
from adiabat.vmc.scores.products import RowProducts
from adiabat.vmc.scores.real_parameters import as_real
from adiabat.vmc.scores.table import Scores, scores
from adiabat.vmc.walkers import n_walkers

PyTree = Any
CHUNKS = 4
"""Parts of the scores that are written out for the Gram matrix, if nothing else is said."""


class SRState(NamedTuple):
    """State of `SROptimizer`."""

    step: Int[Array, ""]
    direction: Float[Array, " parameters"]
    """Previous direction before any scaling, which SPRING carries on; all parameters, leaf after leaf, complex ones as
    real parts and then imaginary ones."""
    metric: Float[Array, " parameters"] | None
    """Running metric of MARCH."""
    damping: DampingState
    fallbacks: Int[Array, ""]
    """Steps in which the solver had to fall back, so far."""
    diagnostics: dict[str, Float[Array, ""]]
    """Of the last step, for its row."""

    @property
    def checked(self) -> PyTree:
        """What has to be looked at for numbers that are not finite: all else enters the update of its step."""
        return self.metric, self.damping


@dataclass(frozen=True)
class SROptimizer(NaturalGradient):
    """Natural gradient ``(O^T O + damping)^-1 O^T e``.

    O are the centred scores divided by the square root of the number of walkers, e twice the centred local energies
    divided by it. With the previous direction p, momentum mu and a diagonal metric M (1 unless MARCH is on) the step is
    the one that minimises ``|O delta - e|^2 + damping (delta - mu p)^T M (delta - mu p)``.

    Near a node of psi the scores of a walker grow without bound. As a walker of vanishing weight it would be harmless,
    but it alone would set the damping that the condition number asks for, and hide the metric of all others.

    References: Sorella, PRL 80, 4558 (1998); Chen and Heyl, Nature Physics 20, 1476 (2024) for sample space;
    Goldshlager, Abrahamsen and Lin, J. Comput. Phys. 516, 113351 (2024) for the momentum (SPRING);
    Gu et al., arXiv:2507.02644 for the metric (MARCH).
    """

    learning_rate: Schedule = setting(
        factory=Standard,
        kind="schedules",
        min=0,
        help="step size along the natural gradient: half the imaginary time of a step",
    )
    max_norm: Schedule | Literal["fixed"] | None = setting(
        None,
        kind="schedules",
        above=0,
        help="cap on the Euclidean norm of an update; fixed: at learning_rate, or less by max_length; null: none",
    )
    max_length: Schedule | None = setting(
        0.1,
        kind="schedules",
        above=0,
        help="cap on the Fubini-Study length of an update (how far it moves the state), with the weights of max_score; "
        "null: none",
    )
    damping: Schedule | AutoDamping = setting(
        1e-3, kind="schedules", above=0, help="added to the curvature; auto: by a trust ratio"
    )
    max_cond_num: Schedule | None = setting(
        1e7,
        kind="schedules",
        above=1,
        help="damping is raised until the condition number is below this; null: never",
    )
    max_score: Schedule | None = setting(
        20.0,
        kind="schedules",
        above=1,
        help="walkers with scores longer than this many medians weigh less, as if theirs were so long; null: never",
    )
    spring_mu: Schedule | None = setting(0.9, kind="schedules", min=0, below=1, help="momentum of SPRING; null: none")
    march_beta: Schedule | None = setting(
        None, kind="schedules", min=0, below=1, help="memory of the metric of MARCH, 0.995 for example; null: no metric"
    )
    march_mode: Literal["var", "diff"] = setting(
        "var", help="metric from the variance of the scores, or from how the direction changes"
    )
    eps: Schedule = setting(
        1e-8, kind="schedules", above=0, help="least variance of a score, and added to the metric of MARCH"
    )
    method: Literal["auto", "sample", "parameter", "cg"] = setting(
        "auto", help="solve among the walkers, among the parameters, or without a matrix; auto: the cheapest"
    )
    cg_tolerance: Schedule = setting(
        1e-5, kind="schedules", above=0, below=1, help="of cg: relative residual at which it stops"
    )
    cg_iterations: int = setting(200, min=1, help="of cg: most iterations of a step")
    mixed_precision: bool = setting(True, help="add up and solve in float64; no: in the precision of the scores")
    gram_dot_prec: Literal["F32", "F64"] | None = setting(
        None, help="precision of the products in the Gram matrix; null: that of the scores"
    )
    gram_num_chunks: int | None = setting(
        CHUNKS, min=1, help="parts in which scores are written out for the Gram matrix, at least; null: one"
    )
    score_chunk_size: int | None = setting(128, min=1, help="walkers whose scores are computed at a time; null: all")
    score_norm_clip: Schedule | None = setting(
        None,
        kind="schedules",
        above=0,
        help="a walker's scores are scaled down to this mean absolute value; null: never",
    )
    prune_inactive: bool = setting(False, help="leave out parameters that do not reach log psi")
    f_log_psi: NumericWavefunctionEvaluate | None = wired()

    def check_walkers(self, walkers: int) -> None:
        """Refuse what cannot be done with so few walkers.

        Raises
        ------
        InputError
            If the Gram matrix is to be made in more parts than there are walkers.
        """
        most = max(walkers, CHUNKS)
        if self.gram_num_chunks is not None and self.gram_num_chunks > most:
            raise InputError(
                f"SROptimizer.gram_num_chunks: {self.gram_num_chunks} chunks for the Gram matrix of {walkers} walkers; "
                f"expected at most {most}"
            )

    def init(self, params: PyTree, *, batched_data: Walker | None = None, **kwargs: Any) -> SRState:
        """State before the first update.

        Raises
        ------
        InputError
            As `check_walkers`.
        """
        del kwargs
        if batched_data is not None:
            self.check_walkers(n_walkers(batched_data))
        direction = jnp.zeros_like(ravel_pytree(as_real(params))[0])
        metric = None if self.march_beta is None else jnp.ones_like(direction)
        zero = jnp.zeros((), jnp.int32)
        return SRState(zero, direction, metric, init_damping(self.damping), zero, _report())

    def update(
        self,
        grads: PyTree,
        state: SRState,
        params: PyTree,
        *,
        batched_data: Walker,
        residuals: Inexact[Array, " walkers"] | None = None,
        **kwargs: Any,
    ) -> tuple[PyTree, SRState]:
        """Update to add to the parameters.

        ``residuals`` are ``2 (E_n - <E>) / sqrt(N)``; the gradient is their product with the scores and not needed
        beside them. Without them the direction is found from the gradient: with fewer digits, and what a single walker
        has given to it cannot be limited any more.

        Raises
        ------
        ValueError
            If it was not wired to f_log_psi, or was given neither gradient nor residuals.
        """
        del kwargs
        overlap = CentredScores(self._scores(params, batched_data, state.step))
        slope = Slope.of(grads, residuals, overlap.parts)
        metric = self._metric(state, overlap)
        carried = overlap.dot(state.direction)
        damping = next_damping(self.damping, state.damping, state.step, slope.along(state.direction, carried))
        momentum = 0.0 if self.spring_mu is None else at(self.spring_mu, state.step, carried.dtype)
        problem = LeastSquares(
            overlap,
            -momentum * carried if slope.rows is None else slope.rows - momentum * carried,
            damping.damping,
            None if metric is None else march.scale(metric, at(self.eps, state.step, metric.dtype)),
            at(self.max_cond_num, state.step),
            at(self.max_score, state.step),
            self._products(overlap.table),
            slope.gradient,
        )
        solution = self._solve(problem, state.step)
        direction = momentum * state.direction + solution.increment
        moved = overlap.dot(direction)
        scale = self._scale(state.step, direction, jnp.linalg.norm(solution.weights * moved))
        updates = as_updates(-scale.astype(direction.dtype) * direction, params)
        if metric is not None and self.march_beta is not None and self.march_mode == "diff":
            beta = at(self.march_beta, state.step, metric.dtype)
            metric = march.from_changes(metric, direction - state.direction, beta)
        fallbacks = state.fallbacks + solution.fell_back
        diagnostics = _report(
            damping=solution.damping,
            update_length=scale * jnp.linalg.norm(moved),
            solver_fallbacks=fallbacks,
            solver_iterations=solution.iterations,
            solver_residual=solution.residual,
            trust_ratio=damping.trust_ratio,
        )
        damping = damping._replace(last=slope.along(direction, moved).astype(jnp.float32))
        return updates, SRState(state.step + 1, direction, metric, damping, fallbacks, diagnostics)

    def _scores(self, params: PyTree, walkers: Walker, step: Int[Array, ""]) -> Scores:
        log_psi, real = self.log_psi(params), as_real(params)
        self.check_walkers(n_walkers(walkers))
        table = scores(log_psi, real, walkers, chunk=self.score_chunk_size, prune=self.prune_inactive)
        narrow = table.layout.n_parameters // (self.gram_num_chunks or 1)
        table = replace(table, widest=min(table.widest, max(1, narrow)))
        if self.score_norm_clip is None:
            return table
        means = jnp.tile(table.absolute_means(), table.parts)
        clip = at(self.score_norm_clip, step, means.dtype)
        return table.scaled(jnp.minimum(1, clip / jnp.maximum(means, jnp.finfo(means.dtype).tiny)))

    def _metric(self, state: SRState, overlap: CentredScores) -> Array | None:
        if state.metric is None or self.march_beta is None or self.march_mode == "diff":
            return state.metric
        beta, eps = (at(schedule, state.step, state.metric.dtype) for schedule in (self.march_beta, self.eps))
        return march.from_variances(state.metric, overlap.variances(), beta, eps)

    def _products(self, table: Scores) -> RowProducts:
        factors = {None: None, "F32": jnp.float32, "F64": jnp.float64}[self.gram_dot_prec]
        return RowProducts(factors, jnp.float64 if self.mixed_precision else table.dtype)

    def _solve(self, problem: LeastSquares, step: Int[Array, ""]) -> Solution:
        table = problem.scores.table
        by_weights = self.march_beta is not None
        method = cheapest(table, self.cg_iterations, by_weights) if self.method == "auto" else self.method
        if method == "cg":
            tolerance = at(self.cg_tolerance, step)
            return matrix_free(problem, tolerance=tolerance, iterations=self.cg_iterations)
        return sample_space(problem) if method == "sample" else parameter_space(problem)

    def _scale(self, step: Int[Array, ""], direction: Array, length: Float[Array, ""]) -> Float[Array, ""]:
        rate = at(self.learning_rate, step)
        norm = jnp.linalg.norm(direction)
        if self.max_norm == "fixed":
            rate = rate / (norm + 1e-8)
        elif self.max_norm is not None:
            rate = jnp.minimum(rate, at(self.max_norm, step) / (norm + 1e-8))
        if self.max_length is not None:
            rate = jnp.minimum(rate, at(self.max_length, step) / (length + 1e-8))
        return rate


def _report(
    *,
    damping: Any = 0.0,
    update_length: Any = 0.0,
    solver_fallbacks: Any = 0.0,
    solver_iterations: Any = 0.0,
    solver_residual: Any = 0.0,
    trust_ratio: Any = 1.0,
) -> dict[str, Float[Array, ""]]:
    """Numbers of one step for its row: the same whatever the settings, so that these may change when a run resumes."""
    return {name: jnp.asarray(value, jnp.float32) for name, value in locals().items()}
