"""Evaluation: the energy of fixed parameters, sampled until its error bar is small enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool

from adiabat.engine import State, over_systems
from adiabat.vmc import block_table
from adiabat.vmc.block_table import BlockTable
from adiabat.vmc.sampling import Chains
from adiabat.vmc.stages.config import EvaluationWorkStageConfig
from adiabat.vmc.stages.sampling_stage import ENERGY, SamplingStage, energy_row, with_metrics
from adiabat.vmc.stages.state import SamplingState, spread
from adiabat.vmc.statistics import Estimate


@dataclass(frozen=True)
class ErrorBelow:
    """Converged when the error bar of the energy is below a threshold.

    An error bar is itself uncertain while few steps are behind it: it counts only with enough degrees of freedom.
    """

    threshold: float
    frequency: int
    least_degrees_of_freedom: float = 10.0

    def evaluate(self, state: State) -> Bool[np.ndarray, " systems"]:
        """Which systems have converged."""
        found = [estimates(state.own, system)[ENERGY] for system in range(state.n_systems)]
        return np.array(
            [e.error <= self.threshold and e.degrees_of_freedom >= self.least_degrees_of_freedom for e in found]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationWorkStage(SamplingStage):
    """Samples with parameters and move widths frozen and records every estimator of every walker in blocks."""

    config: EvaluationWorkStageConfig

    @staticmethod
    def builder(cfg: Any, wavefunction: Any, **kwargs: Any) -> Any:
        """An `EvalStageBuilder`; keywords as there."""
        from adiabat.vmc.stages.builders import EvalStageBuilder

        return EvalStageBuilder(cfg, wavefunction, **kwargs)

    def init(self, state: State, keys: Array) -> tuple[SamplingState, Any]:
        """Empty tables."""
        del keys

        def enter(system: SamplingState) -> Any:
            tables = {name: block_table.init(self._n_walkers) for name in self.estimators}
            chains = Chains.of(system.batched_data, system.sampler_state)
            return {"log_abs": chains.log_abs, "tables": jax.tree.map(jax.numpy.asarray, tables)}

        return state.systems, over_systems(enter)(state.systems)

    def pre_update(self, state: State) -> State:
        """Walkers move with frozen widths, log|psi| carried along from step to step.

        A system that has just entered burns in first with its final parameters, and that adapts the widths.
        """

        def sample(system: SamplingState, log_abs: Array, key: Array, age: Array) -> tuple[Any, Array, Any]:
            chains = Chains(dict(spread(system.batched_data, self.mesh)), log_abs, dict(system.sampler_state))
            chains, moves = self.sample_plan.sample(
                system.params, chains, key, burn_in=self.burn_in(age), adapt=False, evaluated=age > 0
            )
            row = {"acceptance": moves.acceptance, "nonfinite_proposals": moves.nonfinite}
            return system.replace(batched_data=chains.walkers, sampler_state=chains.samplers), chains.log_abs, row

        given = (state.systems, state.own["log_abs"], state.keys("pre_update"), state.clock.stage_age)
        systems, log_abs, row = over_systems(sample)(*given)
        return with_metrics(state.replace(systems=systems, own={**state.own, "log_abs": log_abs}), row)

    def compute(self, state: State) -> State:
        """Estimators at the walkers, and the tables with them."""

        def record(system: SamplingState, tables: dict[str, BlockTable]) -> tuple[Any, dict[str, Array], Array]:
            values = self.evaluate(system.params, system.batched_data)
            row = energy_row(values)
            added = {name: block_table.add(tables[name], jax.numpy.real(values[name])) for name in tables}
            return added, row, row["nonfinite"] > 0

        tables, row, rejected = over_systems(record)(state.systems, state.own["tables"])
        state = state.replace(own={**state.own, "tables": tables}, rejected=state.rejected | rejected)
        return with_metrics(state, row)


def estimates(own: Any, system: int = 0) -> dict[str, Estimate]:
    """Mean, error and the rest of the statistics of every estimator, from an evaluation's own rows.

    Empty before the first step.
    """
    tables = jax.tree.map(lambda a: np.asarray(a)[system], own["tables"])
    return {name: block_table.estimate(table) for name, table in tables.items() if not block_table.is_empty(table)}
