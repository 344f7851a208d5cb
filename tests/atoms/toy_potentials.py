"""Potentials so simple that one can see what dynamics make of them."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from adiabat.atoms.potentials.potential import Potential


@dataclass(frozen=True, eq=False)
class Springs(Potential):
    """Every pair of atoms on a spring of length 1, stronger for heavier ones.

    Nan where two atoms are closer than `too_close`, so that a system can fail.
    """

    strength: float = 1.0
    too_close: float = 0.0

    def evaluate(self, batch):
        there = batch.real[:, :, None] & batch.real[:, None, :] & ~jnp.eye(batch.n_slot_atoms, dtype=bool)
        weight = jnp.sqrt(jnp.asarray(batch.numbers, jnp.float64))

        def energy(positions):
            r2 = jnp.sum((positions[:, :, None] - positions[:, None]) ** 2, axis=-1)
            r = jnp.sqrt(jnp.where(there, r2, 1.0))
            r = jnp.where(r < self.too_close, jnp.nan, r)
            pairs = self.strength * weight[:, :, None] * weight[:, None, :] * (r - 1) ** 2
            return 0.25 * jnp.sum(jnp.where(there, pairs, 0.0), axis=(1, 2))

        values, pull = jax.vjp(energy, batch.positions)
        (slope,) = pull(jnp.ones_like(values))
        return batch.replace(
            energy=values, forces=jnp.where(batch.real[..., None], -slope, 0.0), stress=jnp.zeros_like(batch.stress)
        )
