"""K-FAC: natural gradient with a Fisher matrix of Kronecker-factored blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Inexact, Int

from adiabat.config import setting, wired
from adiabat.engine.schedules import Schedule, Standard, at
from adiabat.vmc.optimizers.auto_damping import AutoDamping, DampingState, init_damping, next_damping
from adiabat.vmc.optimizers.kronecker import (
    Factors,
    Fisher,
    damped_inverses,
    no_statistics,
    precondition,
    statistics,
)
from adiabat.vmc.optimizers.natural_gradient import NaturalGradient, Slope, as_rows, as_updates
from adiabat.vmc.protocols import NumericWavefunctionEvaluate, Walker
from adiabat.vmc.scores.columns import equal_blocks
from adiabat.vmc.scores.layout import Layout
from adiabat.vmc.scores.program import ScoreProgram
from adiabat.vmc.scores.real_parameters import as_real
from adiabat.vmc.scores.table import evaluated
from adiabat.vmc.walkers import n_walkers

PyTree = Any


class KFACState(NamedTuple):
    """State of `KFACOptimizer`."""

    step: Int[Array, ""]
    fisher: Fisher
    inverses: dict[str, Factors] | None
    """Of the damped factors, kept where they are not made anew in every step."""
    direction: Float[Array, " parameters"]
    """Of the last step; damping by a trust ratio looks back at it."""
    damping: DampingState
    diagnostics: dict[str, Float[Array, ""]]

    @property
    def checked(self) -> PyTree:
        """What has to be looked at for numbers that are not finite: all else enters the update of its step."""
        return self.damping


@dataclass(frozen=True)
class KFACOptimizer(NaturalGradient):
    """Natural gradient ``(F + damping)^-1 g`` with F = 2 Re <O* O> in blocks, averaged over the steps.

    Dense layers, those whose weights are shared by electrons or pairs included, have blocks that are Kronecker
    products of the second moments of their activations and cotangents; all other parameters have diagonal blocks. The
    layers are found in the program of log psi. The scores are not centred, as centring breaks the factors.

    References: Martens and Grosse, ICML 2015 (arXiv:1503.05671); Pfau, Spencer, Matthews and Foulkes,
    Phys. Rev. Research 2, 033429 (2020) for wavefunctions.
    """

    learning_rate: Schedule = setting(
        factory=Standard, kind="schedules", min=0, help="step size along the natural gradient"
    )
    norm_constraint: Schedule | None = setting(
        1e-3, kind="schedules", above=0, help="cap on the squared length of an update in the metric of F; null: none"
    )
    curvature_ema: Schedule = setting(
        0.95, kind="schedules", min=0, below=1, help="share of the earlier steps in the Fisher matrix"
    )
    l2_reg: Schedule = setting(
        0.0, kind="schedules", min=0, help="what a penalty on the squared parameters, added elsewhere, adds to F"
    )
    inverse_update_period: int = setting(10, min=1, help="steps from one inversion of the factors to the next")
    damping: Schedule | AutoDamping = setting(
        1e-3, kind="schedules", above=0, help="added to F; auto: by a trust ratio"
    )
    score_chunk_size: int | None = setting(256, min=1, help="walkers whose scores are computed at a time; null: all")
    f_log_psi: NumericWavefunctionEvaluate | None = wired()

    def init(self, params: PyTree, *, batched_data: Walker, **kwargs: Any) -> KFACState:
        """State before the first update."""
        del kwargs
        program = self._program(params, batched_data)
        fisher = no_statistics(program.layout, jnp.result_type(*jax.tree.leaves(as_real(params))))
        inverses = None if self.inverse_update_period == 1 else fisher.layers
        direction = jnp.zeros_like(ravel_pytree(as_real(params))[0])
        zero = jnp.zeros((), jnp.int32)
        return KFACState(zero, fisher, inverses, direction, init_damping(self.damping), _no_diagnostics())

    def update(
        self,
        grads: PyTree,
        state: KFACState,
        params: PyTree,
        *,
        batched_data: Walker,
        residuals: Inexact[Array, " walkers"] | None = None,
        **kwargs: Any,
    ) -> tuple[PyTree, KFACState]:
        """Update to add to the parameters; ``residuals`` as for `SROptimizer`. Without them the gradient is taken.

        Raises
        ------
        ValueError
            If it was not wired to f_log_psi, as by `init`, or was given neither gradient nor residuals.
        """
        del kwargs
        program = self._program(params, batched_data)
        slope = Slope.of(grads, residuals, program.parts)
        new, gradient = self._statistics(program, as_real(params), batched_data, residuals)
        gradient = gradient if slope.gradient is None else slope.gradient
        damping = next_damping(self.damping, state.damping, state.step, state.direction @ gradient)
        weight = damping.damping + at(self.l2_reg, state.step)
        kept_share = at(self.curvature_ema, state.step, gradient.dtype)
        fisher = jax.tree.map(lambda old, now: kept_share * old + now, state.fisher, new)
        inverses = self._inverses(state, fisher, program.layout, weight)
        rate = at(self.learning_rate, state.step, gradient.dtype)
        direction = precondition(program.layout, fisher, inverses, weight, gradient)
        squared_length = rate**2 * (direction @ gradient)
        if self.norm_constraint is not None:
            tiny = jnp.finfo(gradient.dtype).tiny
            longest = at(self.norm_constraint, state.step, gradient.dtype)
            rate = rate * jnp.minimum(1.0, jnp.sqrt(longest / jnp.maximum(squared_length, tiny)))
        updates = as_updates(-rate * direction, params)
        diagnostics = {"damping": damping.damping, "trust_ratio": damping.trust_ratio}
        damping = damping._replace(last=(direction @ gradient).astype(jnp.float32))
        kept = inverses if self.inverse_update_period > 1 else None
        return updates, KFACState(state.step + 1, fisher, kept, direction, damping, diagnostics)

    def diagonal_parameters(self, params: PyTree, walkers: Walker) -> list[str]:
        """Names of the parameters that have diagonal blocks, being neither weights nor bias of a dense layer."""
        layout = self._program(params, walkers).layout
        factored = {*layout.layers, *dict(layout.biases).values()}
        paths = jax.tree_util.tree_leaves_with_path(params)
        return [
            jax.tree_util.keystr(path, simple=True, separator=".")
            for leaf, (path, _) in enumerate(paths)
            if leaf not in factored
        ]

    def remarks(self, params: PyTree, walkers: Walker) -> list[str]:
        """What a user should know of these parameters, a sentence each."""
        names, count = self.diagonal_parameters(params, walkers), len(jax.tree.leaves(params))
        if not names:
            return []
        what = f"{len(names)} of {count} arrays of parameters are of no dense layer and have diagonal blocks"
        return [f"K-FAC: {what}: {', '.join(names)}"]

    def _program(self, params: PyTree, walkers: Walker) -> ScoreProgram:
        return ScoreProgram.of(self.log_psi(params), as_real(params), walkers, every_layer=True)

    def _statistics(
        self, program: ScoreProgram, params: PyTree, walkers: Walker, residuals: Inexact[Array, " walkers"] | None
    ) -> tuple[Fisher, Float[Array, " parameters"]]:
        """Statistics of the Fisher matrix, and the gradient: from the same scores, a block of walkers at a time.
        Without residuals the gradient is zero."""
        count, dtype = n_walkers(walkers), jnp.result_type(*jax.tree.leaves(params))
        weights = jnp.zeros(count, dtype) if residuals is None else residuals / jnp.sqrt(jnp.asarray(count, dtype))
        blocks = equal_blocks((walkers, weights), self.score_chunk_size or count)

        def of_block(block: Any) -> tuple[Fisher, Array]:
            walkers, weights = block
            table = evaluated(program, params, walkers)
            return statistics(table, count), table.transpose_dot(as_rows(weights, program.parts))

        layout = program.layout
        zero = no_statistics(layout, dtype), jnp.zeros(layout.n_parameters, dtype)

        def add(total: Any, block: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, of_block(block)), None

        return jax.lax.scan(add, zero, blocks)[0]

    def _inverses(
        self, state: KFACState, fisher: Fisher, layout: Layout, damping: Float[Array, ""]
    ) -> dict[str, Factors]:
        if state.inverses is None:
            return damped_inverses(fisher, layout, damping)
        return jax.lax.cond(
            state.step % self.inverse_update_period == 0,
            lambda _: damped_inverses(fisher, layout, damping),
            lambda kept: kept,
            state.inverses,
        )


def _no_diagnostics() -> dict[str, Float[Array, ""]]:
    return {"damping": jnp.zeros((), jnp.float32), "trust_ratio": jnp.ones((), jnp.float32)}
