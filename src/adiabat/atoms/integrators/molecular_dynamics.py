"""What every molecular dynamics shares: a time step, velocities to start with, and what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.dynamics import BaseDynamics
from adiabat.atoms.integrators.maxwell_boltzmann import maxwell_boltzmann
from adiabat.atoms.motion import kinetic_energy, moving, temperature, without_center_motion
from adiabat.atoms.per_system import PerSystem, normalize, varying
from adiabat.config import setting


@dataclass(eq=False, kw_only=True, repr=False)
class MolecularDynamics(BaseDynamics):
    """Motion in time. Subclasses are ensembles: they override `pre_update`, `post_update` and, with private rows,
    `init` and `conserved`."""

    dt: PerSystem = varying(1.0, above=0, unit="fs", help="time step")
    initial_temperature: PerSystem | None = varying(
        None,
        min=0,
        unit="K",
        help="velocities are drawn at this temperature on entering; null: they are kept",
    )

    only_at_rest: bool = setting(False, help="velocities are drawn only for systems in which nothing moves")

    def __post_init__(self) -> None:
        super().__post_init__()
        normalize(self)

    def init(self, batch: Batch) -> Batch:
        """The batch with velocities drawn if asked for, and fixed atoms and fixed centres at rest."""
        if self.initial_temperature is not None:
            drawn = maxwell_boltzmann(batch, self.initial_temperature)
            draw = ~jnp.any(batch.velocities != 0, axis=(1, 2)) | (not self.only_at_rest)
            batch = batch.replace(velocities=jnp.where(draw[:, None, None], drawn.velocities, batch.velocities))
        velocities = jnp.where(moving(batch)[..., None], batch.velocities, 0.0)
        return batch.replace(velocities=without_center_motion(batch, velocities), own={})

    def conserved(self, batch: Batch) -> Float[Array, " S"]:
        """What the equations of motion leave alone, in eV, so that its drift is the error of the time step."""
        return batch.energy + kinetic_energy(batch)

    def observables(self, batch: Batch) -> Mapping[str, Float[Array, " S"]]:
        """Temperature in K of the degrees of freedom there are, kinetic energy and conserved quantity in eV."""
        return {
            "temperature": temperature(batch),
            "kinetic_energy": kinetic_energy(batch),
            "conserved": self.conserved(batch),
        }
