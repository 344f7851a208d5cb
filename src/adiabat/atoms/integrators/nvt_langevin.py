"""Langevin's equation."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.integrators.maxwell_boltzmann import thermal_velocities
from adiabat.atoms.integrators.molecular_dynamics import MolecularDynamics
from adiabat.atoms.motion import drift, kick, kinetic_energy, moving, without_center_motion
from adiabat.atoms.per_system import PerSystem, per_system, varying


@dataclass(eq=False, kw_only=True, repr=False)
class NVTLangevin(MolecularDynamics):
    """Constant temperature, by friction and noise: ``m dv = F dt - gamma m v dt + sqrt(2 gamma m k_B T) dW``.

    The BAOAB splitting, whose positions have the exact distribution in a harmonic well whatever the time step::

        v += dt/2 F/m                                       B
        x += dt/2 v                                         A
        v = c1 v + c2 sqrt(k_B T/m) xi                      O     c1 = exp(-gamma dt), c2**2 = 1 - c1**2
        x += dt/2 v                                         A
        F = F(x)
        v += dt/2 F/m                                       B

    Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34 (2013), and J. Chem. Phys. 138, 174102 (2013).

    Conserved: ``E + K`` less the heat that came in from the bath, the sum of what each O did to K; its drift is the
    error of the time step (Bussi and Parrinello, Phys. Rev. E 75, 056707 (2007)). Atoms that cannot move get no noise,
    and none moves a fixed centre of mass.
    """

    temperature: PerSystem = varying(min=0, unit="K", help="temperature of the bath")
    friction: PerSystem = varying(0.01, min=0, unit="1/fs", help="rate gamma at which velocities are forgotten")

    def init(self, batch: Batch) -> Batch:
        """The row ``heat`` (S,) in eV: what came in from the bath so far."""
        batch = super().init(batch)
        return batch.replace(own={"heat": jnp.zeros(batch.n_systems, jnp.float64)})

    def pre_update(self, batch: Batch) -> Batch:
        """B A O A."""
        dt = per_system(self.dt, batch)
        batch = drift(kick(batch, 0.5 * dt), 0.5 * dt)
        batch = self._ornstein_uhlenbeck(batch, dt)
        return drift(batch, 0.5 * dt)

    def post_update(self, batch: Batch) -> Batch:
        """B, with the new forces."""
        return kick(batch, 0.5 * per_system(self.dt, batch))

    def conserved(self, batch: Batch) -> Float[Array, " S"]:
        """Energy of the atoms less the heat they took up, in eV."""
        return super().conserved(batch) - batch.own["heat"]

    def _ornstein_uhlenbeck(self, batch: Batch, dt: Float[Array, " S"]) -> Batch:
        """O: velocities after dt under friction and noise alone, which is solved exactly."""
        decay = per_system(self.friction, batch) * dt
        c1 = jnp.exp(-decay)[:, None, None]
        c2 = jnp.sqrt(-jnp.expm1(-2 * decay))[:, None, None]
        noise = thermal_velocities(batch, per_system(self.temperature, batch), batch.random_keys("langevin"))
        velocities = jnp.where(moving(batch)[..., None], c1 * batch.velocities + c2 * noise, batch.velocities)
        after = batch.replace(velocities=without_center_motion(batch, velocities))
        heat = batch.own["heat"] + kinetic_energy(after) - kinetic_energy(batch)
        return after.replace(own={"heat": heat})
