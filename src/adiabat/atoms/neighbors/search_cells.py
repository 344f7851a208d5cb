"""Neighbors by a cell list: for systems of thousands of atoms, in time and memory proportional to them.

Atoms are sorted into the cells of a grid. Each cell is compared, atom by atom, with the cells around it: dense work
without a gather, which a processor does many pairs at a time. Positions are taken relative to the corner of their grid
cell, in single precision; the corners of two grid cells differ by the same vector wherever they are and whatever
lattice vector lies between them, so that periodic images need no care here.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int, Int16, Int32, Shaped, UInt32

from adiabat.atoms.batch import Batch
from adiabat.atoms.neighbors.first_set import WORD, counted, first_set, in_words, packed
from adiabat.atoms.neighbors.found import Found, encoded, only_counted
from adiabat.atoms.neighbors.grid import Grid, grid_of
from adiabat.atoms.neighbors.pairs import look_up
from adiabat.atoms.neighbors.storing import stored

_NOWHERE = np.float32(1e15)
_SLACK = 1e-6  # error of a distance in single precision, in units of the lengths that enter; larger than it can be


class GridSizes(NamedTuple):
    """Static sizes of a cell list."""

    cells: int
    """Grid cells that a system has room for."""
    occupancy: int
    """Atoms that a grid cell has room for."""
    reach: tuple[int, int, int]
    """How many grid cells away neighbors are looked for."""
    periodic: bool
    """Whether any system repeats."""

    def joined(self, other: GridSizes) -> GridSizes:
        """Room for all that either has room for."""
        reach = tuple(max(pair) for pair in zip(self.reach, other.reach, strict=True))
        return GridSizes(
            cells=max(self.cells, other.cells),
            occupancy=max(self.occupancy, other.occupancy),
            reach=reach,  # type: ignore[arg-type]  # it has three entries
            periodic=self.periodic or other.periodic,
        )


class _Cells(NamedTuple):
    """S systems with room for C grid cells, each with room for A atoms and O grid cells around it.

    One more grid cell is always empty.
    """

    row: Int32[Array, "S N"]  # the grid cell of each atom, counted through all systems
    place: Int32[Array, "S N"]  # where the atom is in it
    atoms: Int32[Array, "S _ A"]  # the atoms of each grid cell, by number; N where there is none
    around: Int32[Array, "S C O"]  # the grid cells around it; the empty one where there is none
    shifts: Int16[Array, "S C O"]
    offsets: Float32[Array, "S O 3"]  # vectors from corner to corner
    local: Float32[Array, "3 S _"]  # positions relative to the corner; after the last atom, one far from all
    unit: Float32[Array, " S"]  # the radius, made longer by what distances in single precision may be wrong
    wraps: Int32[Array, "S N 3"]
    complete: Bool[Array, " S"]


class _Around(NamedTuple):
    """For the grid cells of all systems: the places in them and, row after row, those around them."""

    inside: list[Float32[Array, "SC A"]]  # x, y, z of the places in a grid cell, in units of the radius
    outside: list[Float32[Array, "SC W 32"]]  # of those around it
    atoms: Int32[Array, "SC W32"]
    shifts: Int16[Array, "SC W32"]


def search_cells(batch: Batch, radius: float, sizes: GridSizes, room: int, due: Bool[Array, ""]) -> Found:
    """All neighbors nearer than `radius`, grid cell by grid cell and in each by number; traced.

    For `due` see `stored`; if it is false the result is arbitrary.
    """
    n_systems, n_atoms = batch.numbers.shape
    cells = stored(due, lambda: _cells(batch, grid_of(batch, radius), sizes, radius))
    around = stored(due, _around, cells)
    words = stored(due, lambda around: _near(around, cells.around.shape[2]), around)
    bits = stored(due, lambda words: counted(_of_atoms(words, cells).reshape(n_systems * n_atoms, -1)), words)
    places = stored(due, lambda bits: first_set(bits, room), bits).reshape(n_systems, n_atoms, room)

    candidates = cells.row[:, :, None] * np.int32(around.atoms.shape[1]) + places
    shifts, wraps = (look_up(around.shifts, candidates), cells.wraps) if sizes.periodic else (None, None)
    index, shifts, counts = only_counted(
        look_up(around.atoms, candidates), shifts, bits.counts.reshape(n_systems, n_atoms), jnp.asarray(batch.real)
    )
    return Found(index, shifts, wraps, counts, cells.complete)


def _cells(batch: Batch, grid: Grid, sizes: GridSizes, radius: float) -> _Cells:
    cell, place, atoms, fits = _sorted_into_cells(batch, grid, sizes)
    around, shifts, covered = _neighborhood(grid, sizes, radius)
    steps = _steps(sizes) / grid.numbers[:, None, :].astype(jnp.float64)
    within = (grid.scaled * grid.numbers[:, None] - grid.bins) / grid.numbers[:, None]
    local = jnp.einsum("snk,ska->asn", within, grid.box, precision="highest").astype(jnp.float32)
    lengths = jnp.sqrt(jnp.sum(grid.box**2, axis=2)) / grid.numbers
    slack = _SLACK * (radius + jnp.sum(lengths * (np.array(sizes.reach) + 1.0), axis=1))
    first_row = jnp.arange(batch.n_systems, dtype=jnp.int32)[:, None] * sizes.cells
    return _Cells(
        row=first_row + jnp.minimum(cell, sizes.cells - 1),
        place=jnp.clip(place, 0, sizes.occupancy - 1),
        atoms=atoms,
        around=around,
        shifts=shifts,
        offsets=jnp.einsum("sok,ska->soa", steps, grid.box, precision="highest").astype(jnp.float32),
        local=jnp.pad(local, ((0, 0), (0, 0), (0, 1)), constant_values=_NOWHERE),
        unit=(radius + slack).astype(jnp.float32),
        wraps=grid.wraps.astype(jnp.int32),
        complete=fits & covered & (sizes.periodic | ~jnp.any(grid.repeats, axis=1)),
    )


def _sorted_into_cells(batch: Batch, grid: Grid, sizes: GridSizes) -> tuple[Array, Array, Array, Bool[Array, " S"]]:
    """The grid cell of each atom and its place there, the atoms in each grid cell, and whether there was room."""
    n_systems, n_atoms = batch.numbers.shape
    atom = np.arange(n_atoms, dtype=np.int32)
    system = np.arange(n_systems, dtype=np.int32)[:, None]
    cell = jnp.where(batch.real, jnp.clip(grid.number(grid.bins), 0, sizes.cells - 1), sizes.cells)
    in_order = (jnp.sort(cell.astype(jnp.int64) * n_atoms + atom, axis=1) % n_atoms).astype(jnp.int32)
    count = jnp.zeros((n_systems, sizes.cells + 1), jnp.int32).at[system, cell].add(1)
    first = jnp.cumsum(count, axis=1, dtype=jnp.int32) - count
    rank = jnp.zeros((n_systems, n_atoms), jnp.int32).at[system, in_order].set(jnp.broadcast_to(atom, cell.shape))
    place = rank - jnp.take_along_axis(first, cell, axis=1)

    count = jnp.where(np.arange(sizes.cells + 1) < sizes.cells, count, 0)  # the last is for atoms that are not there
    places = np.arange(sizes.occupancy, dtype=np.int32)
    source = system[:, :, None] * n_atoms + jnp.minimum(first[:, :, None] + places, n_atoms - 1)
    atoms = jnp.where(places < count[:, :, None], look_up(in_order, source), n_atoms)
    return cell, place, atoms, (jnp.max(count, axis=1) <= sizes.occupancy) & (grid.n_cells <= sizes.cells)


def _neighborhood(
    grid: Grid, sizes: GridSizes, radius: float
) -> tuple[Int32[Array, "S C O"], Int16[Array, "S C O"], Bool[Array, " S"]]:
    """The grid cells around each, the lattice vectors in between, and whether they reach as far as the radius."""
    numbers = grid.numbers[:, None, :]
    cell = np.arange(sizes.cells, dtype=np.int32)[None, :]
    rest = cell // numbers[:, :, 2]
    bins = jnp.stack([rest // numbers[:, :, 1], rest % numbers[:, :, 1], cell % numbers[:, :, 2]], axis=2)
    target = bins[:, :, None, :] + _steps(sizes)
    crossed = jnp.floor_divide(target, numbers[:, None])
    used = cell < grid.n_cells[:, None]
    exists = jnp.all(grid.repeats[:, None, None, :] | (crossed == 0), axis=3) & used[:, :, None]
    there = grid.number(target - crossed * numbers[:, None])
    around = jnp.where(exists, jnp.clip(there, 0, sizes.cells), sizes.cells)
    reach = np.array(sizes.reach)
    far_enough = reach * grid.heights / grid.numbers >= radius
    covered = jnp.all(far_enough | (~grid.repeats & (reach >= jnp.minimum(grid.numbers - 1, 1))), axis=1)
    return around, encoded(*jnp.unstack(crossed, axis=3)), covered


def _around(cells: _Cells) -> _Around:
    n_systems, n_cells, _ = cells.around.shape
    n_atoms = cells.row.shape[1]
    system = np.arange(n_systems, dtype=np.int32)[:, None, None]
    atoms = cells.atoms + system * np.int32(n_atoms + 1)
    around = cells.around + system * np.int32(n_cells + 1)

    def of_all(here: Shaped[Array, "S _ A"]) -> Shaped[Array, "S C O A"]:
        return here.reshape(-1, here.shape[2]).at[around].get(mode="promise_in_bounds")

    def in_rows(there: Shaped[Array, "S C O A"], filling: Any) -> Shaped[Array, "SC W 32"]:
        return in_words(there.reshape(n_systems * n_cells, -1), filling)

    here = [look_up(local, atoms) / cells.unit[:, None, None] for local in cells.local]
    offsets = [(along / cells.unit[:, None])[:, None, :, None] for along in jnp.unstack(cells.offsets, axis=2)]
    shifts = jnp.broadcast_to(cells.shifts[:, :, :, None], (*cells.shifts.shape, cells.atoms.shape[2]))
    atoms = in_rows(of_all(jnp.minimum(cells.atoms, n_atoms - 1)), 0)
    return _Around(
        inside=[local[:, :n_cells].reshape(n_systems * n_cells, -1) for local in here],
        outside=[in_rows(of_all(local) + along, _NOWHERE) for local, along in zip(here, offsets, strict=True)],
        atoms=atoms.reshape(n_systems * n_cells, -1),
        shifts=in_rows(shifts, 0).reshape(n_systems * n_cells, -1),
    )


def _near(around: _Around, n_around: int) -> UInt32[Array, "SC A W"]:
    """For each place of each grid cell, which of the places around it hold an atom that is near."""
    r2 = jnp.zeros((), jnp.float32)
    for here, there in zip(around.inside, around.outside, strict=True):
        r2 = r2 + (there[:, None] - here[:, :, None, None]) ** 2
    return packed(r2 < 1) & ~_self(r2.shape[1], n_around)


def _of_atoms(words: UInt32[Array, "SC A W"], cells: _Cells) -> UInt32[Array, "S N W"]:
    return words.reshape(-1, words.shape[2]).at[cells.row * words.shape[1] + cells.place].get(mode="promise_in_bounds")


def _steps(sizes: GridSizes) -> Int[np.ndarray, "O 3"]:
    """Steps from a grid cell to those around it; the middle one is that to itself."""
    return np.array(list(product(*(range(-reach, reach + 1) for reach in sizes.reach))), np.int32)


def _self(occupancy: int, n_around: int) -> UInt32[np.ndarray, "A W"]:
    """For each place of a grid cell, the bit that is the place itself: an atom is not its own neighbor."""
    own = np.arange(occupancy) + n_around // 2 * occupancy
    mask = np.zeros((occupancy, -(-n_around * occupancy // WORD)), np.uint32)
    mask[np.arange(occupancy), own // WORD] = np.uint32(1) << (own % WORD).astype(np.uint32)
    return mask
