"""Velocities in thermal equilibrium."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Bool, Float, Key

from adiabat.atoms.batch import Batch
from adiabat.atoms.motion import inverse_masses, temperature, without_center_motion
from adiabat.atoms.per_system import per_system
from adiabat.units import BOLTZMANN


def maxwell_boltzmann(
    batch: Batch,
    at: Any,
    *,
    keys: Key[Array, " S"] | None = None,
    without_drift: bool = False,
    exact: bool = False,
) -> Batch:
    """The batch with velocities drawn from ``p(v) ~ exp(-m v**2 / (2 k_B T))``.

    Atoms that cannot move get none, and fixed centres of mass stay at rest: what remains has the distribution that
    the degrees of freedom left over have.

    Parameters
    ----------
    batch : Batch
    at : PerSystem
        Temperature in kelvin: a number, one for each system of the data set, or a schedule.
    keys : key array (S,), optional
        One for each system; by default those of the step at hand.
    without_drift : bool
        Take out the motion of the centre of mass of every system, not only of those whose centre is fixed.
    exact : bool
        Scale the velocities so that each system has exactly this temperature, instead of on average.
    """
    wanted = per_system(at, batch)
    keys = batch.random_keys("velocities") if keys is None else keys
    velocities = thermal_velocities(batch, wanted, keys)
    at_rest: Bool[Array, " S"] = jnp.asarray(batch.fixed_center) | without_drift
    batch = batch.replace(velocities=without_center_motion(batch.replace(fixed_center=at_rest), velocities))
    if not exact:
        return batch
    drawn = temperature(batch)
    scale = jnp.where(drawn > 0, jnp.sqrt(wanted / jnp.where(drawn > 0, drawn, 1.0)), 1.0)
    return batch.replace(velocities=batch.velocities * scale[:, None, None])


def thermal_velocities(batch: Batch, at: Float[Array, " S"], keys: Key[Array, " S"]) -> Float[Array, "S N 3"]:
    """``sqrt(k_B T / m) xi`` in angstrom/fs with standard normal xi; zero for atoms that cannot move."""
    spread = jnp.sqrt(BOLTZMANN * at[:, None, None] * inverse_masses(batch))
    return spread * _standard_normal(keys, batch.n_slot_atoms)


def _standard_normal(keys: Key[Array, " S"], n_atoms: int) -> Float[Array, "S N 3"]:
    """Independent normal numbers, each made of the system's key and the atom's number and of nothing else.

    Threefry turns a key and a counter, here the atom and which of its two pairs is meant, into two random words
    (Salmon, Moraes, Dror and Shaw, SC11 (2011)); Box and Muller, Ann. Math. Stat. 29, 610 (1958), turn those into two
    normal numbers, of which three are used. `jax.random.normal` with a key for each atom takes three times as long.
    """
    counters = jnp.indices((n_atoms, 2), jnp.uint32).ravel()
    words = jax.vmap(lambda key: threefry_2x32(jax.random.key_data(key), counters))(keys)
    uniform = (words.reshape(-1, 2, n_atoms, 2).astype(jnp.float64) + 0.5) / 2**32
    radius, angle = jnp.sqrt(-2 * jnp.log(uniform[:, 0])), 2 * jnp.pi * uniform[:, 1]
    return jnp.concatenate([radius * jnp.cos(angle), radius[..., :1] * jnp.sin(angle[..., :1])], axis=-1)
