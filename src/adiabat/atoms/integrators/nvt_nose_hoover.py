"""Nose-Hoover chains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.integrators.molecular_dynamics import MolecularDynamics
from adiabat.atoms.motion import degrees_of_freedom, drift, kick, kinetic_energy, moving
from adiabat.atoms.per_system import PerSystem, per_system, varying
from adiabat.config import setting
from adiabat.units import BOLTZMANN

_OUTER = 1 / (2 - 2 ** (1 / 3))
SUZUKI_YOSHIDA = (_OUTER, 1 - 2 * _OUTER, _OUTER)
"""Lengths of three steps of second order that make one of fourth."""


class Chain(NamedTuple):
    """Thermostats of S systems and what they act on. The first of the M acts on the atoms, each other on the one
    before it; one column (S,) each."""

    position: tuple[Any, ...]  # eta
    momentum: tuple[Any, ...]  # p, in eV fs
    twice_kinetic: Any  # 2 K of the atoms in eV
    scale: Any  # what their velocities have been multiplied with


@dataclass(eq=False, kw_only=True, repr=False)
class NVTNoseHoover(MolecularDynamics):
    """Constant temperature without noise, by a chain of M thermostats.

    ======================  ===================================================================
    ``Q_1, Q_k``            masses ``f k_B T tau**2`` and ``k_B T tau**2``, f degrees of freedom
    ``G_1, G_k``            ``2 K - f k_B T`` and ``p_(k-1)**2 / Q_(k-1) - k_B T``
    ``dx/dt, dv/dt``        ``v`` and ``F/m - v p_1/Q_1``
    ``deta_k/dt, dp_k/dt``  ``p_k/Q_k`` and ``G_k - p_k p_(k+1)/Q_(k+1)``
    ======================  ===================================================================

    A step is half of the chain's motion, velocity Verlet, and the other half; the chain's motion is made of
    ``n_substeps`` times three Suzuki-Yoshida parts. Martyna, Klein and Tuckerman, J. Chem. Phys. 97, 2635 (1992);
    Martyna, Tuckerman, Tobias and Klein, Mol. Phys. 87, 1117 (1996), eqs. (29) to (34).

    Conserved while the temperature set is: ``E + K + sum p_k**2 / 2 Q_k + f k_B T eta_1 + k_B T sum_(k>1) eta_k``.
    A system whose momentum is conserved, as without walls, has its temperature right only with its centre fixed, for
    the chain counts the degrees of freedom.
    """

    temperature: PerSystem = varying(above=0, unit="K", help="temperature of the bath")
    relaxation_time: PerSystem = varying(100.0, above=0, unit="fs", help="time scale tau of the thermostat")
    chain_length: int = setting(3, min=1, help="thermostats in the chain")
    n_substeps: int = setting(1, min=1, help="parts in which the chain moves; more for a short relaxation time")

    def init(self, batch: Batch) -> Batch:
        """Rows ``eta`` and ``momentum`` (S, M) of a chain at rest."""
        batch = super().init(batch)
        at_rest = jnp.zeros((batch.n_systems, self.chain_length), jnp.float64)
        return batch.replace(own={"eta": at_rest, "momentum": at_rest})

    def pre_update(self, batch: Batch) -> Batch:
        """Half of the chain's motion, half a kick and the drift."""
        dt = per_system(self.dt, batch)
        return drift(kick(self._half_chain(batch, dt), 0.5 * dt), dt)

    def post_update(self, batch: Batch) -> Batch:
        """The other half of the kick, with the new forces, and of the chain's motion."""
        dt = per_system(self.dt, batch)
        return self._half_chain(kick(batch, 0.5 * dt), dt)

    def conserved(self, batch: Batch) -> Float[Array, " S"]:
        """Energy of the atoms and the thermostats in eV."""
        thermal, freedom, masses = self._bath(batch)
        eta, momentum = batch.own["eta"], batch.own["momentum"]
        kinetic = 0.5 * jnp.sum(momentum**2 / jnp.stack(masses, axis=1), axis=1)
        return super().conserved(batch) + kinetic + thermal * (freedom * eta[:, 0] + jnp.sum(eta[:, 1:], axis=1))

    def _bath(self, batch: Batch) -> tuple[Array, Array, tuple[Array, ...]]:
        """``k_B T``, degrees of freedom f, and masses Q (M columns), which are of use even where nothing moves."""
        thermal = BOLTZMANN * per_system(self.temperature, batch)
        freedom = degrees_of_freedom(batch)
        mass = thermal * per_system(self.relaxation_time, batch) ** 2
        return thermal, freedom, (jnp.maximum(freedom, 1.0) * mass, *(mass,) * (self.chain_length - 1))

    def _half_chain(self, batch: Batch, dt: Float[Array, " S"]) -> Batch:
        """Thermostats after dt/2, and velocities scaled by them."""
        bath = self._bath(batch)

        def substep(chain: Chain, _: None) -> tuple[Chain, None]:
            for weight in SUZUKI_YOSHIDA:
                chain = _advanced(chain, weight * dt / self.n_substeps, *bath)
            return chain, None

        columns = range(self.chain_length)
        chain = Chain(
            position=tuple(batch.own["eta"][:, k] for k in columns),
            momentum=tuple(batch.own["momentum"][:, k] for k in columns),
            twice_kinetic=2 * kinetic_energy(batch),
            scale=jnp.ones_like(dt),
        )
        chain, _ = jax.lax.scan(substep, chain, length=self.n_substeps)
        scaled = chain.scale[:, None, None] * batch.velocities
        return batch.replace(
            velocities=jnp.where(moving(batch)[..., None], scaled, batch.velocities),
            own={"eta": jnp.stack(chain.position, axis=1), "momentum": jnp.stack(chain.momentum, axis=1)},
        )


def _advanced(chain: Chain, d: Array, thermal: Array, freedom: Array, masses: tuple[Array, ...]) -> Chain:
    """The chain after d/2: momenta from the far end inwards, velocities and eta, momenta outwards."""
    momentum, last = list(chain.momentum), len(masses) - 1

    def force(k: int, twice_kinetic: Array) -> Array:
        return twice_kinetic - freedom * thermal if k == 0 else momentum[k - 1] ** 2 / masses[k - 1] - thermal

    def kicked(k: int, twice_kinetic: Array) -> Array:
        """p_k after d/4 under G_k and the friction of the thermostat behind it."""
        if k == last:
            return momentum[k] + d / 4 * force(k, twice_kinetic)
        s = jnp.exp(-d / 8 * momentum[k + 1] / masses[k + 1])
        return s * (s * momentum[k] + d / 4 * force(k, twice_kinetic))

    for k in reversed(range(last + 1)):
        momentum[k] = kicked(k, chain.twice_kinetic)
    slowed = jnp.exp(-d / 2 * momentum[0] / masses[0])
    twice_kinetic = slowed**2 * chain.twice_kinetic
    position = [eta + d / 2 * p / q for eta, p, q in zip(chain.position, momentum, masses, strict=True)]
    for k in range(last + 1):
        momentum[k] = kicked(k, twice_kinetic)
    return Chain(tuple(position), tuple(momentum), twice_kinetic, slowed * chain.scale)
