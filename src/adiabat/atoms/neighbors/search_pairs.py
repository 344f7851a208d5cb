"""Neighbors by looking at all pairs: for systems of some hundred atoms."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, UInt32

from adiabat.atoms.batch import Batch
from adiabat.atoms.neighbors.all_pairs import all_pairs
from adiabat.atoms.neighbors.first_set import counted, first_set, in_words, packed
from adiabat.atoms.neighbors.found import Found, encoded, only_counted
from adiabat.atoms.neighbors.images import ImageSet, images_suffice
from adiabat.atoms.neighbors.lattice import fractional, reciprocal
from adiabat.atoms.neighbors.pairs import at_neighbors
from adiabat.atoms.neighbors.storing import stored


def search_pairs(batch: Batch, radius: float, images: ImageSet | None, room: int, due: Bool[Array, ""]) -> Found:
    """All neighbors nearer than `radius`, image by image and in each by number; traced.

    For `due` see `stored`; if it is false the result is arbitrary.
    """
    n_systems, n_atoms = batch.numbers.shape

    def near() -> UInt32[Array, "SN W"]:
        words = packed(in_words(all_pairs(batch, radius, images).inside, False))
        return words.reshape(n_systems * n_atoms, -1)

    bits = stored(due, counted, stored(due, near))
    places = stored(due, lambda bits: first_set(bits, room), bits).reshape(n_systems, n_atoms, room)
    atoms, shifts, wraps = places % n_atoms, None, None
    if images is not None:
        shifts, wraps = _shifts(batch, images, jnp.minimum(places // n_atoms, len(images) - 1), atoms)
    index, shifts, counts = only_counted(
        atoms, shifts, bits.counts.reshape(n_systems, n_atoms), jnp.asarray(batch.real)
    )
    return Found(index, shifts, wraps, counts, images_suffice(batch.cell, batch.pbc, images, radius))


def _shifts(
    batch: Batch, images: ImageSet, image: Int32[Array, "S N K"], index: Int32[Array, "S N K"]
) -> tuple[Array, Int32[Array, "S N 3"]]:
    fractions = fractional(batch.positions, reciprocal(batch.cell, batch.pbc))
    wraps = jnp.floor(fractions)
    shifts = []
    for k, (x, w) in enumerate(zip(jnp.unstack(fractions, axis=2), jnp.unstack(wraps, axis=2), strict=True)):
        nearest = jnp.round(at_neighbors(x, index) - x[:, :, None])  # to the bit what `all_pairs` has taken off
        chosen = jnp.asarray(np.array(images, np.float64)[:, k])[image]
        shifts.append(chosen - nearest + at_neighbors(w, index) - w[:, :, None])
    return encoded(*shifts), wraps.astype(jnp.int32)
