"""Training: parameters follow the energy downhill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from adiabat.engine import State, over_systems
from adiabat.vmc.gradient import LossAndGrad
from adiabat.vmc.protocols import OptimizerLike
from adiabat.vmc.stages.config import VMCWorkStageConfig
from adiabat.vmc.stages.sampling_stage import (
    ENERGY,
    SamplingStage,
    count_nonfinite,
    energy_row,
    move_walkers,
    with_metrics,
)
from adiabat.vmc.stages.state import SamplingState
from adiabat.vmc.update_length import update_length

FINAL_RATE = 0.05
"""What updates have shrunk to at the end of the cooldown."""


def cooldown(age: Array, steps: int, share: float) -> Array:
    """1, then linearly to `FINAL_RATE` over the last ``share`` of the steps of a stage."""
    length = share * steps
    if not length:
        return jnp.ones((), jnp.float32)
    return jnp.clip((steps - age).astype(jnp.float32) / length, FINAL_RATE, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class VMCWorkStage(SamplingStage):
    """Variational Monte Carlo: sample, evaluate energy and gradient, update the parameters.

    The last part of training averages the parameters, and the average is what leaves the stage: it has less noise than
    any single set (Polyak and Juditsky, SIAM J. Control Optim. 30, 838, 1992).
    """

    optimizer: OptimizerLike
    loss_grads: LossAndGrad
    config: VMCWorkStageConfig
    optimizer_name: str = ""

    @staticmethod
    def builder(cfg: Any, wavefunction: Any, **kwargs: Any) -> Any:
        """A `VMCStageBuilder`; keywords as there."""
        from adiabat.vmc.stages.builders import VMCStageBuilder

        return VMCStageBuilder(cfg, wavefunction, **kwargs)

    def signature(self) -> dict[str, Any]:
        """The network, the walkers and the optimizer."""
        return {**super().signature(), "optimizer": self.optimizer_name}

    def renewable(self) -> dict[str, str]:
        """The optimizer may be another one, if its state begins anew."""
        return {"optimizer": "opt_state"}

    def init(self, state: State, keys: Array) -> tuple[SamplingState, Any]:
        """The optimizer's state."""
        del keys

        def enter(system: SamplingState) -> Any:
            opt_state = self.optimizer.init(system.params, batched_data=system.batched_data)
            return {"opt_state": opt_state, "average": system.params}

        return state.systems, over_systems(enter)(state.systems)

    def pre_update(self, state: State) -> State:
        """Walkers move; a system that has just entered burns in first."""

        def sample(system: SamplingState, key: Array, age: Array) -> tuple[SamplingState, dict[str, Array]]:
            return move_walkers(self.sample_plan, system, key, self.burn_in(age), self.mesh)

        keys = state.keys("pre_update")
        systems, row = over_systems(sample)(state.systems, keys, state.clock.stage_age)
        return with_metrics(state.replace(systems=systems), row)

    def inject(self, state: State, samples: Any) -> State:
        """Walkers given from outside, (systems, walkers, ...), in place of sampling."""
        fields = samples if isinstance(samples, dict) else {next(iter(state.systems.batched_data)): samples}
        given = {name: jnp.asarray(value) for name, value in fields.items()}
        zero = jnp.zeros(state.n_systems, jnp.float32)
        state = with_metrics(state, {"acceptance": zero, "nonfinite_proposals": zero})
        return state.replace(systems=state.systems.replace(batched_data={**state.systems.batched_data, **given}))

    def compute(self, state: State) -> State:
        """Local energies, the optimizer's update, and the candidate parameters."""

        def energies(system: SamplingState, opt_state: Any, age: Array) -> tuple[Any, dict[str, Array], Array]:
            values = self.evaluate(system.params, system.batched_data)
            residuals = self.loss_grads.residuals(values[ENERGY])
            grads = None
            if getattr(self.optimizer, "needs_gradient", True):
                grads = self.loss_grads.gradient(system.params, system.batched_data, residuals)
            updates, opt_state = self.optimizer.update(
                grads, opt_state, system.params, batched_data=system.batched_data, residuals=residuals
            )
            shrink = self._cooldown(age)
            report = _diagnostics(opt_state)
            if "update_length" not in report:
                length = update_length(self.log_psi, system.params, updates, system.batched_data)
                report["update_length"] = length
            length = shrink * report["update_length"]
            updates = jax.tree.map(lambda u: u * shrink.astype(u.dtype), updates)
            params = jax.tree.map(jnp.add, system.params, updates)
            row = energy_row(values) | report | {"update_length": length}
            # An optimizer may know that what is not finite in most of its state shows in the parameters too.
            row["nonfinite_parameters"] = count_nonfinite((params, getattr(opt_state, "checked", opt_state)))
            row["exploding_updates"] = self._is_too_long(length)
            rejected = (row["nonfinite"] > 0) | (row["nonfinite_parameters"] > 0) | (row["exploding_updates"] > 0)
            return {"params": params, "opt_state": opt_state, "direction": updates}, row, rejected

        scratch, row, rejected = over_systems(energies)(state.systems, state.own["opt_state"], state.clock.stage_age)
        return with_metrics(state.replace(scratch=scratch, rejected=state.rejected | rejected), row)

    def post_update(self, state: State) -> State:
        """The candidate parameters are taken, and averaged in the second half of the stage."""

        def average(average: Any, params: Any, age: Array) -> Any:
            begun = 2 * age >= self.config.iterations
            weight = jnp.where(begun, self.config.averaging or 1.0, 1.0)
            return jax.tree.map(lambda a, p: a + weight.astype(p.dtype) * (p - a), average, params)

        params = state.scratch["params"]
        own = {
            "opt_state": state.scratch["opt_state"],
            "average": over_systems(average)(state.own["average"], params, state.clock.stage_age),
        }
        return state.replace(systems=state.systems.replace(params=params), own=own)

    def finish(self, systems: SamplingState, own: Any) -> SamplingState:
        """The averaged parameters go on."""
        return systems.replace(params=own["average"])

    def _is_too_long(self, length: Array) -> Array:
        """1 for an update that moves the state too far, else 0."""
        longest = self.config.max_update_length
        return jnp.zeros((), jnp.float64) if longest is None else (length > longest).astype(jnp.float64)

    def _cooldown(self, age: Array) -> Array:
        """Factor on the updates."""
        return cooldown(age, self.config.iterations, self.config.cooldown)


def _diagnostics(opt_state: Any) -> dict[str, Array]:
    """What the optimizer reports of its last step."""
    return dict(getattr(opt_state, "diagnostics", {}))
