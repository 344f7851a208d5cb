"""What follows from masses, velocities and constraints: how atoms move, kinetic energy, degrees of freedom.

Fixed atoms and fixed centres of mass are honoured here, so that no integrator can forget them. What moves groups of
atoms as one (rigid bonds) belongs here too.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from adiabat.atoms.batch import Batch
from adiabat.units import BOLTZMANN, ENERGY_PER_MASS

_TINY = 1e-300  # stands for zero in a denominator whose numerator is zero too


def moving(batch: Batch, xp: Any = jnp) -> Bool[Array | np.ndarray, "S N"]:
    """Which atoms can move: those that are there and not fixed."""
    return xp.asarray(batch.real & ~batch.fixed)


# --- moving -------------------------------------------------------------------------------------------------


def kick(batch: Batch, time: Float[Array, " S"]) -> Batch:
    """Velocities after ``time`` fs under the forces as they are, ``v + t F / m``; fixed centres stay at rest."""
    velocities = batch.velocities + time[:, None, None] * inverse_masses(batch) * batch.forces
    return batch.replace(velocities=without_center_motion(batch, velocities))


def drift(batch: Batch, time: Float[Array, " S"]) -> Batch:
    """Positions after ``time`` fs at the velocities as they are, ``x + t v``."""
    return displace(batch, time[:, None, None] * batch.velocities)


def displace(batch: Batch, displacement: Float[Array, "S N 3"]) -> Batch:
    """Positions displaced by so many angstrom; those of fixed atoms keep every bit."""
    return batch.replace(positions=jnp.where(moving(batch)[..., None], batch.positions + displacement, batch.positions))


def without_center_motion(batch: Batch, velocities: Float[Array, "S N 3"]) -> Float[Array, "S N 3"]:
    """Velocities with the centre of mass at rest, in the systems whose centre is fixed; fixed atoms keep theirs."""
    free = moving(batch)[..., None]
    masses = jnp.where(free, batch.masses[..., None], 0.0)
    of_center = jnp.sum(masses * velocities, axis=1, keepdims=True) / jnp.maximum(
        jnp.sum(masses, axis=1, keepdims=True), _TINY
    )
    return jnp.where(free & jnp.asarray(batch.fixed_center)[:, None, None], velocities - of_center, velocities)


def constrained_forces(batch: Batch, xp: Any = jnp) -> Float[Array | np.ndarray, "S N 3"]:
    """Forces in eV/angstrom along which constraints let atoms move: what a relaxation follows and must bring to zero.

    Zero on fixed atoms. Where the centre of mass is fixed, the part along which it would move is taken out,
    ``F_i - m_i sum_j m_j F_j / sum_j m_j**2``: displacements along the rest leave ``sum m x`` alone
    (Ciccotti, Ferrario and Ryckaert, Mol. Phys. 47, 1253 (1982); as in ASE's FixCom). `xp`: NumPy for arrays of NumPy,
    with which nothing has to be compiled.
    """
    free = moving(batch, xp)
    forces = xp.where(free[..., None], batch.forces, 0.0)
    masses = xp.where(free & xp.asarray(batch.fixed_center)[:, None], batch.masses, 0.0)[..., None]
    along = xp.sum(masses * forces, axis=1, keepdims=True)
    return forces - masses * along / xp.maximum(xp.sum(masses**2, axis=1, keepdims=True), _TINY)


# --- measuring ----------------------------------------------------------------------------------------------


def inverse_masses(batch: Batch) -> Float[Array, "S N 1"]:
    """1/m in (angstrom/fs)**2 per eV, and zero for atoms that are fixed or not there: nothing moves them."""
    return jnp.where(moving(batch), ENERGY_PER_MASS / batch.masses, 0.0)[..., None]


def kinetic_energy(batch: Batch) -> Float[Array, " S"]:
    """``sum m v**2 / 2`` in eV of the atoms that can move."""
    twice = jnp.where(moving(batch)[..., None], batch.masses[..., None] * batch.velocities**2, 0.0)
    return 0.5 * jnp.sum(twice, axis=(1, 2)) / ENERGY_PER_MASS


def degrees_of_freedom(batch: Batch) -> Float[Array, " S"]:
    """Three for each atom that can move, less three where the centre of mass is fixed."""
    free = jnp.sum(moving(batch), axis=1, dtype=jnp.float64) - jnp.asarray(batch.fixed_center)
    return 3.0 * jnp.maximum(free, 0.0)


def temperature(batch: Batch) -> Float[Array, " S"]:
    """``2 K / (f k_B)`` in kelvin, f the degrees of freedom; 0 without any."""
    freedom = degrees_of_freedom(batch)
    return jnp.where(freedom > 0, 2 * kinetic_energy(batch) / (BOLTZMANN * jnp.maximum(freedom, 1.0)), 0.0)
