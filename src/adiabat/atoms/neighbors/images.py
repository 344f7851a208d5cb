"""Which periodic images of an atom can lie within the cutoff of another.

The image nearest in fractional coordinates has a difference of at most one half along each lattice vector. Displaced by
the lattice vector ``n C`` it lies at ``(n + t) C`` with all ``|t_k| <= 1/2``. For every integer vector g

``|(n + t) C| >= (|n . g| - (|g_1| + |g_2| + |g_3|) / 2) / |C^-1 g|``

so an image is needed only if the right side is less than the cutoff for all g, of which those with entries -1, 0 and 1
are used. With g along an axis that says: one image is enough if all heights of the cell are twice the cutoff.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from adiabat.atoms.neighbors.lattice import reciprocal, repeating
from adiabat.errors import InputError

ImageSet: TypeAlias = tuple[tuple[int, int, int], ...]
"""The zero image first, then others by length: an image has the same place in any set, but for those left out."""

MORE_IMAGES = 1.05
"""Images may be chosen for a cutoff longer by this factor, as cells may shrink."""

_HALF = 0.5 + 1e-9  # the fractional difference is rounded
_TINY = 1e-30
_MOST_IMAGES = 20_000
_FLATTEST = 1e6  # ratio of a lattice vector to the height of the cell along it
_DIRECTIONS = np.array([g for g in product((0, 1, -1), repeat=3) if g > (0, 0, 0)]).T  # (3, 13), one of each +-g


def images_needed(
    cells: Float[Any, "S 3 3"], pbc: Bool[Any, "S 3"], cutoff: float
) -> Int[np.ndarray, "images 3"] | None:
    """All images that any of the systems needs, (n_images, 3), the zero image first; None if no system repeats.

    On the host. Cells may be triclinic, left-handed, small or flat; a few more images than needed may be among them.

    Raises
    ------
    InputError
        If a system repeats along a vector that is zero or lies in the plane of the others, or thousands of times
        within the cutoff, or the cutoff is no positive, finite number.
    """
    pbc = np.asarray(pbc)
    if not pbc.any():
        return None
    if not 0 < cutoff < np.inf:
        raise InputError(f"the cutoff of a system that repeats is {cutoff}; expected a positive, finite length")
    found = {(0, 0, 0)}
    columns_of_all = checked_reciprocal(cells, pbc)
    for columns in np.unique(columns_of_all[np.isfinite(columns_of_all).all(axis=(1, 2))], axis=0):
        most = np.ceil(cutoff * np.linalg.norm(columns, axis=0) + _HALF) - 1
        if np.prod(2 * most + 1) > _MOST_IMAGES:
            raise InputError(
                f"a cell of height {1 / np.linalg.norm(columns, axis=0).max():.2g} angstrom repeats too often within "
                f"{cutoff:g} angstrom: expected a larger cell or a smaller cutoff"
            )
        box = np.array(list(product(*(range(-m, m + 1) for m in np.maximum(most, 0).astype(int).tolist()))))
        near = _least_distances(_reach(box), columns[None])[0] < cutoff
        found.update(map(tuple, box[near].tolist()))
    return np.array(sorted(found, key=_by_length), np.int32)


def images_suffice(
    cell: Float[Array, "S 3 3"], pbc: Bool[Array, "S 3"], images: ImageSet | None, cutoff: float
) -> Bool[Array, " S"]:
    """Which systems need no other images than these; traced.

    The cells of a lattice that a sphere meets hang together by their faces, so it is enough to look at the images next
    to those there are. None suffice for cells that are flat or not finite.
    """
    if images is None:
        return ~jnp.any(repeating(cell, pbc), axis=1)
    return jnp.all(_least_distances(_border(images), reciprocal(cell, pbc)) >= cutoff, axis=1)


def image_set(images: Any) -> ImageSet | None:
    """Images in the form that can be a static part of a pytree."""
    return None if images is None else tuple((int(a), int(b), int(c)) for a, b, c in np.asarray(images))


def union(one: ImageSet | None, other: ImageSet | None) -> ImageSet | None:
    """All images of both."""
    if one is None or other is None:
        return one if other is None else other
    return tuple(sorted({*one, *other}, key=_by_length))


def checked_reciprocal(cells: Any, pbc: Any) -> Float[np.ndarray, "S 3 3"]:
    """Reciprocal vectors on the host; see `images_needed` for what is refused."""
    cells, pbc = np.asarray(cells, np.float64), np.asarray(pbc)
    with jax.enable_x64(True):
        columns = np.asarray(jax.jit(reciprocal)(cells, pbc))
    lengths = np.linalg.norm(cells, axis=2)
    # Reciprocal vectors are as long as the inverse heights.
    flat = ~(np.linalg.norm(columns, axis=1) * lengths < _FLATTEST) & np.isfinite(lengths)
    for system in np.flatnonzero((pbc & ((lengths == 0) | flat)).any(axis=1)):
        raise InputError(
            f"the system in slot {system} repeats along {_names(pbc[system])}, but its cell is "
            f"{cells[system].tolist()}; expected lattice vectors there that are not zero and not in one plane"
        )
    return columns


def _by_length(image: tuple[int, int, int]) -> tuple[int, tuple[int, int, int]]:
    return int(np.dot(image, image)), image


def _names(along: Bool[np.ndarray, " 3"]) -> str:
    return ", ".join(name for name, there in zip("abc", along, strict=True) if there)


@lru_cache(maxsize=64)
def _border(images: ImageSet) -> Float[np.ndarray, "B 13"]:
    steps = [*np.eye(3, dtype=int), *-np.eye(3, dtype=int)]
    next_to = {tuple((np.array(image) + step).tolist()) for image in images for step in steps}
    return _reach(np.array(sorted(next_to - set(images))))


def _reach(images: Int[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 13"]:
    return np.abs(images @ _DIRECTIONS) - _HALF * np.abs(_DIRECTIONS).sum(axis=0)


def _least_distances(reach: Float[np.ndarray, "n 13"], columns: Any) -> Any:
    """Lower bounds (S, n) on the length of ``(n + t) C``, of NumPy or of JAX arrays."""
    lengths = ((columns @ _DIRECTIONS.astype(np.float64)) ** 2).sum(axis=1) ** 0.5
    return (reach / (lengths[:, None, :] + _TINY)).max(axis=2)
