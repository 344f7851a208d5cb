"""What training and evaluation share: walkers that move, and estimators evaluated at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array

from adiabat.engine import Stage, State
from adiabat.vmc.gradient import energy_statistics
from adiabat.vmc.local_energy import evaluate_all
from adiabat.vmc.log_psi import LogPsi
from adiabat.vmc.protocols import EstimatorLike
from adiabat.vmc.sampling import Chains, SamplePlan
from adiabat.vmc.stages.config import WorkStageConfig
from adiabat.vmc.stages.state import SamplingState, spread
from adiabat.vmc.walkers import over_walkers

ENERGY = "total"
"""The estimator that is the local energy."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SamplingStage(Stage):
    """A stage that moves walkers in its first phase.

    Parameters
    ----------
    log_psi : LogPsi
        Of one walker.
    sample_plan : SamplePlan
    estimators : mapping
        Named estimators in the order of evaluation; "total" is the local energy.
    config : WorkStageConfig
    chunk : int, optional
        Walkers whose estimators are evaluated at a time.
    mesh : Mesh, optional
        Devices over which walkers are spread.
    """

    log_psi: LogPsi
    sample_plan: SamplePlan
    estimators: Mapping[str, EstimatorLike]
    config: WorkStageConfig
    chunk: int | None = None
    mesh: Mesh | None = None
    wavefunction_name: str = ""

    def signature(self) -> dict[str, Any]:
        """The network and the walkers; of the settings only those that shape the state."""
        return {"wavefunction": self.wavefunction_name, "walkers": self._n_walkers}

    def partition(self) -> tuple[Any, Any]:
        """Walkers are spread, all else is everywhere."""
        return SamplingState.partition(), PartitionSpec()

    @property
    def _n_walkers(self) -> int:
        return next(iter(self.sample_plan.samplers.values())).walkers

    def burn_in(self, age: Array) -> Array:
        """Moves to be discarded before those of a step, for a system that is so many steps old in this stage."""
        return jnp.where(age == 0, self.config.burn_in * self.sample_plan.steps, 0)

    def evaluate(self, params: Any, walkers: Mapping[str, Array]) -> dict[str, Array]:
        """Values (walkers,) of all estimators."""

        def of_one(params: Any, walker: Mapping[str, Array]) -> dict[str, Array]:
            return evaluate_all(self.estimators, params, walker)

        return over_walkers(of_one, chunk=self.chunk, mesh=self.mesh)(params, walkers)


def move_walkers(
    plan: SamplePlan, system: SamplingState, key: Array, burn_in: Array | int, mesh: Mesh | None
) -> tuple[SamplingState, dict[str, Array]]:
    """A system whose walkers have moved, and the row of it. The widths of the moves adapt; log|psi| is evaluated anew,
    the parameters having changed."""
    chains = Chains.of(spread(system.batched_data, mesh), system.sampler_state)
    chains, moves = plan.sample(system.params, chains, key, burn_in=burn_in, evaluated=False)
    system = system.replace(batched_data=chains.walkers, sampler_state=chains.samplers)
    return system, {"acceptance": moves.acceptance, "nonfinite_proposals": moves.nonfinite}


def with_metrics(state: State, metrics: Mapping[str, Array]) -> State:
    """The state with these added to the row of the step."""
    return state.replace(metrics={**state.metrics, **metrics})


def energy_row(values: Mapping[str, Array]) -> dict[str, Array]:
    """Mean and variance of the energy, means of the other estimators, and the number of non-finite values."""
    statistics = energy_statistics(values[ENERGY])
    row = {"energy": statistics.mean.real, "energy_variance": statistics.variance}
    if jnp.iscomplexobj(statistics.mean):
        row["energy_imaginary"] = statistics.mean.imag
    for name, value in values.items():
        if name != ENERGY:
            row[name] = jnp.mean(jnp.real(value).astype(jnp.float64))
    return row | {"nonfinite": statistics.nonfinite}


def count_nonfinite(tree: Any) -> Array:
    """How many numbers of a pytree are infinite or not a number."""
    # One reduction over all of it, where one for each array would double the time that a step takes to compile.
    numbers = [jnp.ravel(leaf) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    bad = ~jnp.isfinite(jnp.concatenate(numbers)) if numbers else jnp.zeros(0, jnp.bool_)
    return jnp.sum(bad, dtype=jnp.int32).astype(jnp.float64)


__all__ = ["ENERGY", "SamplingStage", "count_nonfinite", "energy_row", "move_walkers", "with_metrics"]
