"""What a search for neighbors gives, whichever way it went, and how it names the image that a neighbor is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

Reach: TypeAlias = tuple[int, int, int]
"""How many lattice vectors away images can be along each direction."""

FARTHEST = 15
"""The longest reach that lists are made for."""


class Found(NamedTuple):
    """The neighbors of every atom in an order that depends on nothing but its system.

    The vector from atom i to a neighbor j is ``(x_j - w_j C + n C) - (x_i - w_i C)``: all atoms are brought back into
    the cell by `wraps` w, so that the images n that there have to be are few however far atoms have gone.
    """

    neighbors: Int32[Array, "S N K"]
    """``m N + j`` for atom j in the image that `image_number` calls m; after the last one, the atom itself in image 0,
    which is no neighbor of anything."""
    wraps: Int32[Array, "S N 3"] | None
    """None if no system repeats."""
    counts: Int32[Array, "S N"]
    """How many neighbors atoms have, even if there is no room for them."""
    complete: Bool[Array, " S"]
    """Whether the search saw all there was to see."""


def lattice_steps(reach: Reach) -> Float[np.ndarray, "M 3"]:
    """By how many lattice vectors the images 1, 2, ... are displaced."""
    return np.array(list(product(*(range(-far, far + 1) for far in reach))), np.float64)


def image_number(displaced: Sequence[Any], reach: Reach) -> Any:
    """The numbers, from 1, of images displaced by so many lattice vectors; of one within reach where it is not.

    `displaced`: three arrays of NumPy or of JAX, of integers in any type. Returns int32.
    """
    number: Any = np.int32(0)
    for steps, far in zip(displaced, reach, strict=True):
        number = number * np.int32(2 * far + 1) + steps.clip(-far, far).astype(np.int32) + np.int32(far)
    return number + np.int32(1)


def only_counted(
    neighbors: Int32[Array, "S N K"], counts: Int32[Array, "S N"], real: Bool[Array, "S N"]
) -> tuple[Int32[Array, "S N K"], Int32[Array, "S N"]]:
    """Atoms themselves in image 0 in place of neighbors beyond the last; none for atoms that are not there."""
    counts = jnp.where(real, counts, 0)
    n_atoms, room = neighbors.shape[1:]
    used = np.arange(room, dtype=np.int32) < counts[:, :, None]
    return jnp.where(used, neighbors, np.arange(n_atoms, dtype=np.int32)[:, None]), counts
