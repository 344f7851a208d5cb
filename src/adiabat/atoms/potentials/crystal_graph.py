"""Bonds of crystals and the angles between them, of many crystals in one graph, as CHGNet wants them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

COINCIDENT = 1e-8
"""Distance in angstrom below which an atom is itself."""


@dataclass(frozen=True)
class CrystalGraph:
    """B bonds and A angles of n atoms, which may belong to many crystals.

    Each pair of atoms, an atom and its own images included, is one bond, whose vector is
    ``positions[first] - positions[second] - images @ cell``. It leaves its first atom as direction b and its second one
    as direction B + b, the other way round. An angle is an ordered pair of different directions that leave one atom,
    both of short bonds.
    """

    first: Int[np.ndarray, " B"]
    second: Int[np.ndarray, " B"]
    images: Float[np.ndarray, "B 3"]
    """By how many lattice vectors the second atom is displaced."""
    apex: Int[np.ndarray, " A"]
    """The atom of each angle."""
    sides: Int[np.ndarray, "A 2"]
    """Its two directions."""


def crystal_graph(
    positions: Float[np.ndarray, "n 3"],
    cell: Float[np.ndarray, "S 3 3"],
    pbc: Bool[np.ndarray, "S 3"],
    batch: Int[np.ndarray, " n"],
    *,
    cutoff: float,
    angle_cutoff: float,
) -> CrystalGraph:
    """The bonds shorter than ``cutoff`` in angstrom, and the angles of those shorter than ``angle_cutoff``.

    Atoms stand system by system, and ``batch`` says which is whose. The graph of a system is in the same order
    whatever stands beside it.

    Raises
    ------
    ValueError
        If an atom has no neighbor within the cutoff.
    """
    found = [*_neighbors(positions, cell, pbc, batch, cutoff)]
    first, second, images, lengths = (np.concatenate(parts) for parts in zip(*found, strict=True))
    n_neighbors = np.bincount(first, minlength=len(positions))
    if not n_neighbors.all():
        raise ValueError(f"{np.sum(n_neighbors == 0)} atoms have no neighbor within {cutoff:g} angstrom")
    # Every pair was found from both ends.
    once = (first < second) | ((first == second) & _is_positive(images))
    first, second, images, lengths = first[once], second[once], images[once], lengths[once]
    apex, sides = _angles(first, second, lengths < angle_cutoff)
    return CrystalGraph(first, second, images, apex, sides)


def _neighbors(positions: Any, cell: Any, pbc: Any, batch: Any, cutoff: float) -> Iterator[tuple[NDArray, ...]]:
    """Of one system after the other: atoms, their neighbors, images of these, distances."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    ends = np.searchsorted(batch, np.arange(len(cell) + 1))
    for system, (start, end) in enumerate(pairwise(ends)):
        atoms = np.ascontiguousarray(positions[start:end])
        lattice, along = np.ascontiguousarray(cell[system]), np.ascontiguousarray(pbc[system], np.int64)
        first, second, images, lengths = find_points_in_spheres(
            atoms, atoms, r=cutoff, pbc=along, lattice=lattice, tol=COINCIDENT
        )
        other = (first != second) | (lengths > COINCIDENT)
        # Indices come as another C type of 64 bits than the usual one.
        first, second = (index[other].astype(np.int64) + start for index in (first, second))
        yield first, second, images[other], lengths[other]


def _is_positive(images: Float[np.ndarray, "B 3"]) -> Bool[np.ndarray, " B"]:
    """Of an image and the opposite one, exactly one is."""
    x, y, z = images.T
    return (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))


def _angles(
    first: Int[np.ndarray, " B"], second: Int[np.ndarray, " B"], is_short: Bool[np.ndarray, " B"]
) -> tuple[Int[np.ndarray, " A"], Int[np.ndarray, "A 2"]]:
    short = np.flatnonzero(is_short)
    directions = np.concatenate([short, short + len(first)])
    apex = np.concatenate([first[short], second[short]])
    order = np.argsort(apex, kind="stable")
    directions, apex = directions[order], apex[order]

    # The directions of an atom stand in a row now; each of them is paired with all others of that row.
    start = np.searchsorted(apex, apex)
    n_others = np.searchsorted(apex, apex, side="right") - start - 1
    one = np.repeat(np.arange(len(apex)), n_others)
    other = np.arange(len(one)) - np.repeat(np.cumsum(n_others) - n_others, n_others) + start[one]
    other += other >= one
    return apex[one], np.stack([directions[one], directions[other]], axis=1)
