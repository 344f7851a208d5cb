"""Lattices that may repeat along some of their vectors only: reciprocal vectors and deformations.

A lattice vector that is zero never repeats, so that slots without a system need no care.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


def repeating(cell: Float[Array, "S 3 3"], pbc: Bool[Array, "S 3"]) -> Bool[Array, "S 3"]:
    """Along which lattice vectors systems repeat."""
    return pbc & jnp.any(cell != 0, axis=2)


def periodic_part(cell: Float[Array, "S 3 3"], pbc: Bool[Array, "S 3"]) -> Float[Array, "S 3 3"]:
    """The lattice vectors along which systems repeat, and zeros."""
    return jnp.where(pbc[:, :, None], cell, 0.0)


def is_finite(cell: Float[Array, "S 3 3"]) -> Bool[Array, " S"]:
    """Where a cell is made of finite numbers. No room that one could make would help others."""
    return jnp.all(jnp.isfinite(cell), axis=(1, 2))


def reciprocal(cell: Float[Array, "S 3 3"], pbc: Bool[Array, "S 3"]) -> Float[Array, "S 3 3"]:
    """Reciprocal vectors (without 2 pi) in columns, in the space of the lattice vectors that repeat; others are zero.

    For the matrix P of the vectors that repeat that is its pseudoinverse, ``P^T (P P^T)^-1``.
    """
    rows = periodic_part(cell, pbc)
    there = repeating(cell, pbc)[:, :, None]
    lengths = jnp.where(there, jnp.sqrt(jnp.sum(rows**2, axis=2, keepdims=True)), 1.0)
    rows = rows / lengths
    metric = jnp.sum(rows[:, :, None] * rows[:, None, :], axis=3) + jnp.where(there, 0.0, np.eye(3))
    return jnp.sum(rows[:, :, :, None] * (inverse(metric) / lengths[:, None, :, 0])[:, :, None, :], axis=1)


def inverse(matrix: Float[Array, "S 3 3"]) -> Float[Array, "S 3 3"]:
    """Inverse matrices, by cofactors."""
    after, before = np.array([1, 2, 0]), np.array([2, 0, 1])
    a, b = matrix[:, after], matrix[:, before]
    cofactors = a[:, :, after] * b[:, :, before] - a[:, :, before] * b[:, :, after]
    return jnp.swapaxes(cofactors, 1, 2) / jnp.sum(matrix[:, 0] * cofactors[:, 0], axis=1)[:, None, None]


def fractional(positions: Float[Array, "S N 3"], columns: Float[Array, "S 3 3"]) -> Float[Array, "S N 3"]:
    """Positions in units of lattice vectors, for reciprocal vectors in columns.

    XLA may evaluate a sum of products twice, in two kernels, and round it in two ways; for an atom on a boundary, or
    two half a lattice vector apart, the kernels would then disagree on its image. The result of a matrix product is
    stored once, and what is made of it by additions, subtractions and rounding to integers is the same everywhere.
    """
    return jnp.einsum("sna,sak->snk", positions, columns, precision="highest")


def longest_stretch(deformation: Float[Array, "S 3 3"]) -> Float[Array, " S"]:
    """An upper bound on |v A| / |v| over all v, exact for rotations and isotropic expansion.

    The largest eigenvalue of the symmetric G = A A^T is at most ``m + sqrt(2/3) |G - m|``, m the mean of its diagonal
    (H. Wolkowicz and G. P. H. Styan, Linear Algebra Appl. 29, 471 (1980)).
    """
    metric = jnp.sum(deformation[:, :, None] * deformation[:, None, :], axis=3)
    mean = jnp.trace(metric, axis1=1, axis2=2) / 3
    rest = metric - mean[:, None, None] * np.eye(3)
    return jnp.sqrt(mean + jnp.sqrt(jnp.sum(rest**2, axis=(1, 2)) * (2 / 3)))
