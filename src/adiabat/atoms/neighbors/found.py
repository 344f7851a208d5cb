"""What a search for neighbors gives, whichever way it went."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int16, Int32, Num

FARTHEST = 15
"""How many lattice vectors an image can be away along each direction."""
_BITS = 5
NO_SHIFT = FARTHEST | FARTHEST << _BITS | FARTHEST << 2 * _BITS
"""The code of an atom in the same cell."""


class Found(NamedTuple):
    """The neighbors of every atom in an order that depends on nothing but its system.

    The vector from atom i to a neighbor j is ``(x_j - w_j C) - (x_i - w_i C) + n C``: all atoms are brought back into
    the cell by `wraps` w, so that the shifts n are small however far atoms have gone.
    """

    neighbors: Int32[Array, "S N K"]
    """Which atoms they are; after the last one N, which is none of them."""
    shifts: Int16[Array, "S N K"] | None
    """n, by `encoded`; None if no system repeats."""
    wraps: Int32[Array, "S N 3"] | None
    counts: Int32[Array, "S N"]
    """How many neighbors atoms have, even if there is no room for them."""
    complete: Bool[Array, " S"]
    """Whether the search saw all there was to see."""


def encoded(a: Num[Array, "*shape"], b: Num[Array, "*shape"], c: Num[Array, "*shape"]) -> Int16[Array, "*shape"]:
    """Three integers of at most `FARTHEST` in the bits of one."""
    first, second, third = ((n.astype(jnp.int32) + FARTHEST) & ((1 << _BITS) - 1) for n in (a, b, c))
    return (first | (second << _BITS) | (third << 2 * _BITS)).astype(jnp.int16)


def decoded(codes: Int16[Array, "*shape"]) -> list[Float[Array, "*shape"]]:
    """The three integers of each code, as floating-point numbers."""
    bits, mask = codes.astype(jnp.int32), np.int32((1 << _BITS) - 1)
    return [(((bits >> place * _BITS) & mask) - np.int32(FARTHEST)).astype(jnp.float64) for place in range(3)]


def only_counted(
    atoms: Int32[Array, "S N K"],
    shifts: Int16[Array, "S N K"] | None,
    counts: Int32[Array, "S N"],
    real: Bool[Array, "S N"],
) -> tuple[Int32[Array, "S N K"], Int16[Array, "S N K"] | None, Int32[Array, "S N"]]:
    """Nothing but neighbors: N in their place, without a shift, after the last one; none for atoms not there."""
    counts = jnp.where(real, counts, 0)
    n_atoms, room = atoms.shape[1:]
    used = np.arange(room, dtype=np.int32) < counts[:, :, None]
    kept = None if shifts is None else jnp.where(used, shifts, np.int16(NO_SHIFT))
    return jnp.where(used, atoms, np.int32(n_atoms)), kept, counts
