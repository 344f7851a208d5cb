"""How much room the neighbor lists of a batch need: static sizes, chosen on the host from the structures there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from adiabat.atoms.batch import Batch
from adiabat.atoms.neighbors.found import FARTHEST
from adiabat.atoms.neighbors.grid import Grid, grid_of
from adiabat.atoms.neighbors.images import MORE_IMAGES, ImageSet, checked_reciprocal, image_set, images_needed, union
from adiabat.atoms.neighbors.pairs import LANES
from adiabat.atoms.neighbors.search_cells import GridSizes
from adiabat.errors import InputError

CELL_LIST_ABOVE = 400
"""Slots of more atoms are searched by a cell list, smaller ones by looking at all pairs. Argon within 9.5 angstrom took
as long either way with 256 atoms, half as long by a cell list with 500; its program takes longer to compile."""

MORE_NEIGHBORS = 1.2
MORE_ATOMS = 1.25


@dataclass(frozen=True)
class Sizes:
    """Static sizes of a neighbor list."""

    neighbors: int
    """Room for the neighbors of an atom, a multiple of `LANES`."""
    images: ImageSet | None
    """What a search of all pairs looks at; None if no system repeats, or for a cell list."""
    grid: GridSizes | None
    """Of the cell list if there is one."""

    @property
    def periodic(self) -> bool:
        """Whether any system repeats."""
        return self.images is not None if self.grid is None else self.grid.periodic

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it, for checkpoints."""
        return {"neighbors": self.neighbors, "images": self.images, "grid": self.grid}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Sizes:
        """What `as_json` gave, after a way through JSON."""
        grid = given["grid"]
        if grid is not None:
            cells, occupancy, reach, periodic = grid
            grid = GridSizes(cells, occupancy, tuple(reach), periodic)
        images = given["images"]
        return cls(given["neighbors"], None if images is None else tuple(map(tuple, images)), grid)

    def joined(self, other: Sizes) -> Sizes:
        """Room for all that either has room for."""
        grid = self.grid if other.grid is None else other.grid
        if self.grid is not None and other.grid is not None:
            grid = self.grid.joined(other.grid)
        return Sizes(max(self.neighbors, other.neighbors), union(self.images, other.images), grid)


def sizes_for(batch: Batch, radius: float) -> Sizes:
    """Room for the systems of a batch, and some more; systems that are not finite are left out.

    Raises
    ------
    InputError
        If a cell is flat, or so thin that it repeats more than a dozen times within the radius.
    """
    positions, cells = np.asarray(batch.positions), np.asarray(batch.cell)
    there = np.asarray(batch.numbers) > 0
    there = there & np.isfinite(positions).all(axis=(1, 2))[:, None] & np.isfinite(cells).all(axis=(1, 2))[:, None]
    pbc = np.asarray(batch.pbc) & there.any(axis=1, keepdims=True)
    columns = checked_reciprocal(cells, pbc)
    if too_thin(columns, radius).any():
        raise InputError(
            f"a cell of height {1 / np.linalg.norm(columns, axis=1).max():.3g} angstrom repeats too often within "
            f"{radius:g} angstrom for a neighbor list; expected a cell repeated a few times in that direction, or with "
            "vectors closer to a right angle"
        )
    lattices = np.where(pbc[:, :, None], cells, 0.0)
    used = np.flatnonzero(there.any(axis=1))
    most = (_most_neighbors(positions[s][there[s]], lattices[s], columns[s], radius) for s in used)
    room = room_for(max(most, default=0))
    if batch.n_slot_atoms <= CELL_LIST_ABOVE:
        return Sizes(room, image_set(images_needed(cells, pbc, radius * MORE_IMAGES)), None)
    some = batch.replace(
        numbers=there.astype(np.int32), pbc=pbc, neighbors=(), atom_fields={}, system_fields={}, clock=None, own=None
    )
    with jax.enable_x64(True):
        grid = jax.tree.map(np.asarray, jax.jit(grid_of, static_argnums=1)(some, radius))
    return Sizes(room, None, _grid_sizes(grid, there, radius))


def too_thin(columns: Float[np.ndarray, "S 3 3"], radius: float) -> Bool[np.ndarray, " S"]:
    """Which systems need images that are farther away than shifts can tell."""
    return (np.ceil(radius * np.linalg.norm(columns, axis=1)) + 1 > FARTHEST).any(axis=1)


def room_for(neighbors: int) -> int:
    """Room for so many neighbors, and some more."""
    return max(1, -(-int(neighbors * MORE_NEIGHBORS) // LANES)) * LANES


def _most_neighbors(
    positions: Float[np.ndarray, "n 3"],
    lattice: Float[np.ndarray, "3 3"],
    columns: Float[np.ndarray, "3 3"],
    radius: float,
) -> int:
    """The largest number of neighbors of an atom, from explicit images."""
    positions = positions - np.floor(positions @ columns) @ lattice
    most = np.ceil(radius * np.linalg.norm(columns, axis=0)).astype(int).tolist()
    steps = np.array(list(product(*(range(-m, m + 1) for m in most))))
    images = (positions + (steps @ lattice)[:, None]).reshape(-1, 3)
    low, high = positions.min(axis=0) - radius, positions.max(axis=0) + radius
    tree = cKDTree(images[((images >= low) & (images <= high)).all(axis=1)])
    return int(tree.query_ball_point(positions, radius, return_length=True).max()) - 1


def _grid_sizes(grid: Grid, there: Bool[np.ndarray, "S N"], radius: float) -> GridSizes:
    in_cells = np.where(there, np.asarray(grid.number(grid.bins)), 0)
    counts = [np.bincount(cells[here]).max() for cells, here in zip(in_cells, there, strict=True) if here.any()]
    to_images = np.ceil(radius * grid.numbers / grid.heights - 1e-9)
    reach = np.where(grid.repeats, to_images, np.minimum(grid.numbers - 1, 1)).max(axis=0, initial=0)
    return GridSizes(
        cells=int(grid.n_cells.max()),
        occupancy=-(-int(MORE_ATOMS * max(counts, default=0) + 2) // 8) * 8,
        reach=(int(reach[0]), int(reach[1]), int(reach[2])),
        periodic=bool(grid.repeats.any()),
    )
