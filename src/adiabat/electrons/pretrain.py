"""Pretraining: the orbitals of a network are fitted to Hartree-Fock, with walkers from the Hartree-Fock density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from adiabat.config import check_settings, setting
from adiabat.electrons.slater_determinant import OccupiedOrbitals, log_slater_determinant, molecular_orbitals
from adiabat.electrons.wavefunctions.determinant_network import DeterminantNetwork
from adiabat.engine import Stage, State, over_systems
from adiabat.vmc.optimizers import AdamOptimizer
from adiabat.vmc.sampling import MCMCSampler, SamplePlan
from adiabat.vmc.stages.sampling_stage import count_nonfinite, move_walkers, with_metrics
from adiabat.vmc.stages.state import SamplingState
from adiabat.vmc.stages.train import cooldown
from adiabat.vmc.walkers import over_walkers

COOLDOWN = 0.4
"""Last part of the steps, over which the step size falls."""


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of pretraining."""

    iterations: int | None = setting(
        None,
        min=0,
        help="steps; 0 leaves it out; null: 0 for a network that starts as Hartree-Fock, else 1000",
    )
    burn_in: int = setting(20, min=0, help="sampling sweeps before the first step")
    learning_rate: float = setting(1e-3, above=0, help="step size of Adam; it falls to 5 % over the last 40 %")
    basis: str = setting("cc-pvdz", help="Gaussian basis set of Hartree-Fock")

    def __post_init__(self) -> None:
        check_settings(self)

    def steps(self, wavefunction: DeterminantNetwork) -> int:
        """Number of steps for a network."""
        if self.iterations is None:
            return 0 if wavefunction.starts_from_hartree_fock else 1000
        return self.iterations


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretrain(Stage):
    """Minimises the mean squared difference between the network's orbitals and those of Hartree-Fock.

    Every determinant has the same target, block-diagonal in the spins (Pfau et al., PRR 2, 033429, 2020, section II E).
    Walkers follow the Hartree-Fock density, which is cheap to evaluate and where training will start.

    Parameters
    ----------
    wavefunction : DeterminantNetwork
    target : OccupiedOrbitals
        Of Hartree-Fock.
    sampler : MCMCSampler
    config : PretrainConfig
    chunk : int, optional
        Walkers evaluated at a time.
    mesh : Mesh, optional
        Devices over which walkers are spread.
    """

    wavefunction: DeterminantNetwork
    target: OccupiedOrbitals
    sampler: MCMCSampler
    config: PretrainConfig
    chunk: int | None = None
    mesh: Mesh | None = None

    @property
    def _plan(self) -> SamplePlan:
        def log_abs(params: Any, walker: dict[str, Array]) -> Array:
            del params
            return log_slater_determinant(self.target, walker["electrons"])[0]

        return SamplePlan(over_walkers(log_abs, chunk=self.chunk, mesh=self.mesh), {"electrons": self.sampler})

    @property
    def _optimizer(self) -> AdamOptimizer:
        steps = self.config.steps(self.wavefunction)

        return AdamOptimizer(learning_rate=lambda step: self.config.learning_rate * cooldown(step, steps, COOLDOWN))

    def signature(self) -> dict[str, Any]:
        """The network and the walkers."""
        return {"wavefunction": self.wavefunction.description, "walkers": self.sampler.walkers}

    def partition(self) -> tuple[Any, Any]:
        """Walkers are spread, all else is everywhere."""
        return SamplingState.partition(), PartitionSpec()

    def init(self, state: State, keys: Array) -> tuple[SamplingState, Any]:
        """The optimizer's state."""
        del keys
        return state.systems, over_systems(lambda system: self._optimizer.init(system.params))(state.systems)

    def pre_update(self, state: State) -> State:
        """Walkers move in the Hartree-Fock density; those that have just entered burn in first."""

        def sample(system: SamplingState, key: Array, age: Array) -> tuple[SamplingState, dict[str, Array]]:
            burn_in = jnp.where(age == 0, self.config.burn_in * self.sampler.steps, 0)
            return move_walkers(self._plan, system, key, burn_in, self.mesh)

        keys = state.keys("pre_update")
        systems, row = over_systems(sample)(state.systems, keys, state.clock.stage_age)
        return with_metrics(state.replace(systems=systems), row)

    def compute(self, state: State) -> State:
        """Loss, gradient and candidate parameters."""

        def fit(system: SamplingState, own: Any) -> tuple[Any, dict[str, Array], Array]:
            loss, grads = jax.value_and_grad(self._loss)(system.params, system.batched_data)
            updates, own = self._optimizer.update(grads, own, system.params)
            params = jax.tree.map(jnp.add, system.params, updates)
            row = {"loss": loss, "nonfinite_parameters": count_nonfinite((params, own))}
            rejected = ~jnp.isfinite(loss) | (row["nonfinite_parameters"] > 0)
            return {"params": params, "own": own}, row, rejected

        scratch, row, rejected = over_systems(fit)(state.systems, state.own)
        return with_metrics(state.replace(scratch=scratch, rejected=state.rejected | rejected), row)

    def post_update(self, state: State) -> State:
        """The candidate parameters are taken."""
        systems = state.systems.replace(params=state.scratch["params"])
        return state.replace(systems=systems, own=state.scratch["own"])

    def _loss(self, params: Any, walkers: dict[str, Array]) -> Float[Array, ""]:
        """Mean over walkers, determinants, electrons and orbitals of the squared difference to the target."""

        def of_one(params: Any, walker: dict[str, Array]) -> Array:
            x = walker["electrons"]
            up, down = molecular_orbitals(self.target, x)
            target = jax.scipy.linalg.block_diag(up, down).astype(x.dtype)
            return jnp.mean((self.wavefunction.orbitals(params, x) - target) ** 2)

        return jnp.mean(over_walkers(of_one, chunk=self.chunk, mesh=self.mesh)(params, walkers))
