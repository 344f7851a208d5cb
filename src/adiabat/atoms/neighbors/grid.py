"""The grid of a cell list: each system is divided into grid cells no thinner than the search radius.

Along lattice vectors that repeat, the grid divides the unit cell; along others, the extent of the atoms. How fine it is
depends on nothing but the system, the radius and the size of a slot.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from adiabat.atoms.batch import Batch
from adiabat.atoms.neighbors.lattice import fractional, periodic_part, reciprocal, repeating

_COARSER = 2.0 ** (np.arange(80) / 2)  # ratios of grid widths to the radius that are tried
_ROUNDING = 1 + 1e-9


class Grid(NamedTuple):
    """S systems of N atoms, each with its own grid of ``n_0 n_1 n_2`` cells in a box."""

    numbers: Int32[Array, "S 3"]
    """Grid cells along each direction."""
    box: Float[Array, "S 3 3"]
    """Edges of the whole grid in rows."""
    heights: Float[Array, "S 3"]
    """Of the box."""
    repeats: Bool[Array, "S 3"]
    wraps: Float[Array, "S N 3"]
    """Lattice vectors to take off to bring an atom into the box."""
    scaled: Float[Array, "S N 3"]
    """Positions in the box in units of its edges, in [0, 1]."""

    @property
    def n_cells(self) -> Int32[Array, " S"]:
        """Grid cells of each system."""
        return jnp.prod(self.numbers, axis=1, dtype=jnp.int32)

    @property
    def bins(self) -> Int32[Array, "S N 3"]:
        """Which grid cell each atom is in."""
        numbers = self.numbers[:, None, :]
        return jnp.clip(jnp.floor(self.scaled * numbers).astype(jnp.int32), 0, numbers - 1)

    def number(self, bins: Int32[Array, "S ... 3"]) -> Int32[Array, "S ..."]:
        """The number of a grid cell among all of its system."""
        sizes = self.numbers.reshape(-1, *[1] * (bins.ndim - 2), 3)
        return (bins[..., 0] * sizes[..., 1] + bins[..., 1]) * sizes[..., 2] + bins[..., 2]


def grid_of(batch: Batch, radius: float) -> Grid:
    """The grid that atoms and cells call for; traced."""
    repeats = repeating(batch.cell, batch.pbc)
    rows, columns = _frame(batch, repeats)
    fractions = fractional(batch.positions, columns)
    low, extent = _extent(fractions, jnp.asarray(batch.real), radius)
    wraps = jnp.where(repeats[:, None, :], jnp.floor(fractions), 0.0)
    scaled = jnp.where(repeats[:, None, :], fractions - wraps, (fractions - low[:, None]) / extent[:, None])
    heights = jnp.where(repeats, 1 / jnp.sqrt(jnp.sum(columns**2, axis=1)), extent)
    box = jnp.where(repeats[:, :, None], rows, rows * extent[:, :, None])
    return Grid(_fineness(heights, radius, batch.n_slot_atoms), box, heights, repeats, wraps, scaled)


def _frame(batch: Batch, repeats: Bool[Array, "S 3"]) -> tuple[Float[Array, "S 3 3"], Float[Array, "S 3 3"]]:
    """Lattice vectors in rows and reciprocal ones in columns; where a lattice does not repeat, in place of both, unit
    vectors orthogonal to all others.

    Those are eigenvectors, of eigenvalue zero, of the sum of ``b b^T`` over the reciprocal vectors there are.
    """
    columns = reciprocal(batch.cell, batch.pbc)
    scaled = columns / jnp.maximum(jnp.sqrt(jnp.sum(columns**2, axis=1, keepdims=True)), 1e-30)
    normals = jnp.linalg.eigh(jnp.sum(scaled[:, :, None] * scaled[:, None, :], axis=3))[1]
    place = jnp.cumsum(~repeats, axis=1) - 1  # of the missing vectors, the first eigenvalues being the zeros
    chosen = (place[:, None, :] == np.arange(3)[:, None]) & ~repeats[:, None, :]
    missing = jnp.sum(normals[:, :, :, None] * chosen[:, None], axis=2)
    rows = periodic_part(batch.cell, batch.pbc) + jnp.swapaxes(missing, 1, 2)
    return rows, columns + missing


def _extent(
    fractions: Float[Array, "S N 3"], real: Bool[Array, "S N"], radius: float
) -> tuple[Float[Array, "S 3"], Float[Array, "S 3"]]:
    """Where the atoms of each system begin, and how far they reach from there."""
    there = real[:, :, None]
    any_there = jnp.any(there, axis=1)
    low = jnp.where(any_there, jnp.min(jnp.where(there, fractions, jnp.inf), axis=1), 0.0)
    high = jnp.where(any_there, jnp.max(jnp.where(there, fractions, -jnp.inf), axis=1), 0.0)
    return low, jnp.maximum(high - low, radius)


def _fineness(heights: Float[Array, "S 3"], radius: float, most: int) -> Int32[Array, "S 3"]:
    """As many grid cells as their width allows, but no more than `most` in all: a few atoms may be far apart."""
    widths = radius * _ROUNDING * _COARSER
    numbers = jnp.maximum(jnp.floor(heights[:, None, :] / widths[:, None]), 1.0)
    first = jnp.argmax(jnp.prod(numbers, axis=2) <= most, axis=1)
    chosen = jnp.take_along_axis(numbers, first[:, None, None], axis=1)[:, 0]
    return jnp.clip(chosen.astype(jnp.int32), 1, most)
