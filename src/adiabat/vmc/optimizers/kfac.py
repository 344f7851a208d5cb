"""K-FAC: natural gradient with a Fisher matrix of Kronecker-factored blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Inexact, Int

from adiabat.config import check_settings, setting, wired
from adiabat.vmc.optimizers.auto_damping import AutoDamping, DampingState, init_damping, next_damping
from adiabat.vmc.optimizers.centred_scores import CentredScores
from adiabat.vmc.optimizers.kronecker import Factors, Fisher, damped_inverses, precondition, repeats, statistics
from adiabat.vmc.optimizers.layers import trace
from adiabat.vmc.optimizers.real_parameters import as_given, as_real, of_real
from adiabat.vmc.optimizers.schedules import Schedule, Standard, at, refuse_auto
from adiabat.vmc.optimizers.scores import Scores, scores
from adiabat.vmc.protocols import NumericWavefunctionEvaluate, Walker

PyTree = Any


class KFACState(NamedTuple):
    """State of `KFACOptimizer`."""

    step: Int[Array, ""]
    fisher: Fisher
    inverses: dict[str, Factors] | None
    """Kept where they are not made anew in every step."""
    direction: Float[Array, " parameters"]
    """Of the last step; only damping by a trust ratio looks back at it."""
    damping: DampingState
    diagnostics: dict[str, Float[Array, ""]]


@dataclass(frozen=True)
class KFACOptimizer:
    """Natural gradient ``(F + damping)^-1 g`` with F = 2 Re <O* O> in blocks, averaged over the steps.

    Dense layers, those whose weights are shared by electrons or pairs included, have blocks that are Kronecker
    products of the second moments of their activations and cotangents; all other parameters have diagonal blocks. The
    layers are found in the program of log psi. The scores are not centred, as centring breaks the factors.

    References: Martens and Grosse, ICML 2015 (arXiv:1503.05671); Pfau, Spencer, Matthews and Foulkes,
    Phys. Rev. Research 2, 033429 (2020) for wavefunctions.
    """

    learning_rate: Schedule = setting(factory=Standard, kind="schedules", help="step size along the natural gradient")
    norm_constraint: float | None = setting(
        1e-3, above=0, help="cap on the squared length of an update in the metric of F; null: none"
    )
    curvature_ema: float = setting(0.95, min=0, below=1, help="share of the earlier steps in the Fisher matrix")
    l2_reg: float = setting(0.0, min=0, help="what a penalty on the squared parameters, added elsewhere, adds to F")
    inverse_update_period: int = setting(1, min=1, help="steps from one inversion of the factors to the next")
    damping: Schedule | AutoDamping = setting(
        1e-3, kind="schedules", above=0, help="added to F; auto: by a trust ratio"
    )
    score_chunk_size: int | None = setting(128, min=1, help="walkers whose scores are computed at a time; null: all")
    f_log_psi: NumericWavefunctionEvaluate | None = wired()

    needs_gradient: ClassVar[bool] = False
    """The gradient follows from the activations and cotangents that the blocks are made of."""

    def __post_init__(self) -> None:
        check_settings(self)
        refuse_auto(self, "learning_rate")

    def init(self, params: PyTree, *, batched_data: Walker, **kwargs: Any) -> KFACState:
        """State before the first update."""
        del kwargs
        shapes = jax.eval_shape(lambda p, w: statistics(self._scores(p, w)), params, batched_data)
        fisher = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        inverses = None if self.inverse_update_period == 1 else fisher.layers
        direction = jnp.zeros_like(ravel_pytree(as_real(params))[0])
        zero = jnp.zeros((), jnp.int32)
        return KFACState(zero, fisher, inverses, direction, init_damping(self.damping), self._no_diagnostics())

    def update(
        self,
        grads: PyTree,
        state: KFACState,
        params: PyTree,
        *,
        batched_data: Walker,
        residuals: Inexact[Array, " walkers"],
        **kwargs: Any,
    ) -> tuple[PyTree, KFACState]:
        """Update to add to the parameters; ``residuals`` as for `SROptimizer`."""
        del grads, kwargs
        table = self._scores(params, batched_data)
        overlap = CentredScores(table)
        target = jnp.concatenate([residuals.real, residuals.imag]) if jnp.iscomplexobj(residuals) else residuals
        gradient = overlap.transpose_dot(target)
        damping = next_damping(self.damping, state.damping, state.step, state.direction @ gradient)
        weight = damping.damping + self.l2_reg
        fisher = jax.tree.map(lambda old, new: self.curvature_ema * old + new, state.fisher, statistics(table))
        inverses = self._inverses(state, fisher, repeats(table), weight)
        rate = at(self.learning_rate, state.step).astype(gradient.dtype)
        direction = precondition(table, fisher, inverses, weight, gradient)
        squared_length = rate**2 * (direction @ gradient)
        if self.norm_constraint is not None:
            tiny = jnp.finfo(gradient.dtype).tiny
            rate = rate * jnp.minimum(1.0, jnp.sqrt(self.norm_constraint / jnp.maximum(squared_length, tiny)))
        _, as_parameters = ravel_pytree(as_real(params))
        updates = as_given(as_parameters(-rate * direction), params)
        diagnostics = {
            "damping": damping.damping,
            "update_length": (rate * jnp.linalg.norm(overlap.dot(direction))).astype(jnp.float32),
        }
        if isinstance(self.damping, AutoDamping):
            diagnostics["trust_ratio"] = damping.trust_ratio
        damping = damping._replace(last=(direction @ gradient).astype(jnp.float32))
        kept = inverses if self.inverse_update_period > 1 else None
        return updates, KFACState(state.step + 1, fisher, kept, direction, damping, diagnostics)

    def diagonal_parameters(self, params: PyTree, walker: Walker) -> list[str]:
        """Names of the parameters that have diagonal blocks, being neither weights nor bias of a dense layer."""
        if self.f_log_psi is None:
            raise ValueError(UNWIRED)
        traced = trace(of_real(self.f_log_psi, params), as_real(params), walker)
        factored = {*traced.layers, *traced.biases.values()}
        paths = jax.tree_util.tree_leaves_with_path(params)
        return [jax.tree_util.keystr(path) for leaf, (path, _) in enumerate(paths) if leaf not in factored]

    def _scores(self, params: PyTree, walkers: Walker) -> Scores:
        if self.f_log_psi is None:
            raise ValueError(UNWIRED)
        log_psi = of_real(self.f_log_psi, params)
        return scores(log_psi, as_real(params), walkers, chunk=self.score_chunk_size, every_layer=True)

    def _inverses(
        self, state: KFACState, fisher: Fisher, rows: dict[str, int], damping: Float[Array, ""]
    ) -> dict[str, Factors]:
        if state.inverses is None:
            return damped_inverses(fisher, rows, damping)
        return jax.lax.cond(
            state.step % self.inverse_update_period == 0,
            lambda _: damped_inverses(fisher, rows, damping),
            lambda kept: kept,
            state.inverses,
        )

    def _no_diagnostics(self) -> dict[str, Float[Array, ""]]:
        names = ["damping", "update_length"] + (["trust_ratio"] if isinstance(self.damping, AutoDamping) else [])
        return dict.fromkeys(names, jnp.zeros((), jnp.float32))


UNWIRED = "KFACOptimizer was used before it was wired: give it f_log_psi"
