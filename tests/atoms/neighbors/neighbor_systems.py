"""Systems whose neighbors are hard to find, and two slow ways to find them."""

from __future__ import annotations

from functools import partial
from itertools import product

import jax
import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from building import batch_of

from adiabat.atoms.neighbors import AllPairs, NeighborList, sizes

quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiles in half the time what runs once or twice."""


@quick_jit
def updated(found, batch):
    """What finds pairs, up to date, and the pairs."""
    found = found.update(batch)
    return found, found.pairs(batch)


WAYS = ("all pairs", "list by pairs", "list by cells")

CUBE = np.diag([9.0, 8.0, 10.0])
SHEARED = np.array([[9.0, 0.0, 0.0], [4.4, 8.0, 0.0], [-3.0, 3.5, 8.5]])
TINY = np.array([[2.1, 0.3, 0.0], [0.9, 2.4, -0.2], [0.1, -0.8, 2.9]])
TURNED = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])

LATTICES = [
    (CUBE, True),
    (SHEARED, True),
    (SHEARED[[1, 0, 2]] @ TURNED, True),  # left-handed, and no vector along an axis
    (TINY, True),
    (CUBE, (True, False, True)),
    (SHEARED @ TURNED, (False, True, True)),
    (np.array([SHEARED[0], np.zeros(3), np.zeros(3)]), (True, False, False)),
    (SHEARED, False),
    (None, False),
]
"""Lattice vectors and periodicity of one system each."""


def varied_batch(seed=0, n_slot_atoms=24):
    """One system for each of `LATTICES`, of other sizes, with atoms many cells away from home, and an empty slot."""
    rng = np.random.default_rng(seed)
    positions, cells, pbc = [None], [None], [False]
    for cell, periodic in LATTICES:
        n = 3 if cell is TINY else int(rng.integers(n_slot_atoms // 2, n_slot_atoms + 1))
        fractions = rng.uniform(0, 1, (n, 3))
        if cell is not None:
            fractions = fractions + np.where(periodic, rng.integers(-40, 40, (n, 3)), 0)
        positions.append(fractions @ spanning(cell))
        cells.append(cell)
        pbc.append(periodic)
    return batch_of(positions, cells, pbc, n_slot_atoms=n_slot_atoms)


def spanning(cell):
    """Three vectors of use for making positions, also where there are none."""
    if cell is None:
        return np.eye(3) * 7
    return np.where(np.any(cell, axis=1, keepdims=True), cell, np.eye(3) * 7)


def start(way, batch, cutoff, skin, monkeypatch):
    """What finds pairs in this way, not yet updated."""
    if way == "all pairs":
        return AllPairs.allocate(batch, cutoff)
    monkeypatch.setattr(sizes, "CELL_LIST_ABOVE", 0 if way == "list by cells" else 10**9)
    found = NeighborList.allocate(batch, cutoff, skin)
    assert (found.sizes.grid is not None) == (way == "list by cells")
    return found


def pairs_as_set(pairs, batch, slot):
    """Pairs of a system as (i, j, lattice vectors in between): vector, as (3,) array."""
    inside = np.asarray(pairs.inside[slot])
    atom, place = np.nonzero(inside)
    vectors = np.stack([np.asarray(component[slot])[inside] for component in (pairs.dx, pairs.dy, pairs.dz)], axis=1)
    np.testing.assert_allclose(np.sum(vectors**2, axis=1), np.asarray(pairs.r2[slot])[inside], rtol=1e-12)
    n_atoms = batch.n_slot_atoms
    neighbor = place % n_atoms if pairs.index is None else np.asarray(pairs.index[slot])[atom, place]
    positions = np.asarray(batch.positions[slot])
    lattice = np.where(np.asarray(batch.pbc[slot])[:, None], np.asarray(batch.cell[slot]), 0.0)
    between = (vectors - (positions[neighbor] - positions[atom])) @ np.linalg.pinv(lattice)
    np.testing.assert_allclose(between, np.round(between), atol=1e-9)
    keys = zip(atom.tolist(), neighbor.tolist(), *np.round(between).astype(int).T.tolist(), strict=True)
    found = dict(zip(keys, vectors, strict=True))
    assert len(found) == inside.sum(), "a pair is there twice"
    return found


def by_explicit_images(batch, slot, cutoff):
    """The same from all images that could be near, one after the other."""
    positions = np.asarray(batch.positions[slot])[np.asarray(batch.real[slot])]
    lattice = np.where(np.asarray(batch.pbc[slot])[:, None], np.asarray(batch.cell[slot]), 0.0)
    columns = np.where(lattice.any(axis=1), np.linalg.pinv(lattice), 0.0)
    home = np.floor(positions @ columns).astype(int)
    most = np.where(lattice.any(axis=1), np.ceil(cutoff * np.linalg.norm(columns, axis=0)) + 1, 0).astype(int)
    found = {}
    for image in product(*(range(-m, m + 1) for m in most.tolist())):
        between = np.array(image) + home[:, None] - home[None, :]
        vectors = positions[None, :] - positions[:, None] + between @ lattice
        near = np.sum(vectors**2, axis=2) < cutoff**2
        if not any(image):
            np.fill_diagonal(near, False)
        for i, j in np.argwhere(near).tolist():
            found[i, j, *between[i, j].tolist()] = vectors[i, j]
    return found


def by_ase(batch, slot, cutoff):
    """The same from ASE."""
    real = np.asarray(batch.real[slot])
    atoms = Atoms(
        numbers=np.asarray(batch.numbers[slot])[real],
        positions=np.asarray(batch.positions[slot])[real],
        cell=np.asarray(batch.cell[slot]),
        pbc=np.asarray(batch.pbc[slot]),
    )
    i, j, between, vectors = neighbor_list("ijSD", atoms, cutoff)
    return dict(zip(zip(i.tolist(), j.tolist(), *between.T.tolist(), strict=True), vectors, strict=True))


def assert_same_pairs(found, expected):
    assert found.keys() == expected.keys()
    for key, vector in expected.items():
        np.testing.assert_allclose(found[key], vector, atol=1e-11)


def crystal(cell, basis, repeats):
    """Atoms at exactly these fractions of a unit cell, repeated."""
    steps = np.array(list(product(*(range(n) for n in repeats))), float)
    fractions = (np.asarray(basis, float) + steps[:, None]).reshape(-1, 3)
    return fractions @ np.asarray(cell), np.asarray(cell) * np.array(repeats)[:, None]


def argon(n, seed=0, amplitude=0.15):
    """Face-centred cubic argon of n x n x n cubic cells, shaken."""
    basis = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    positions, cell = crystal(np.eye(3) * 5.26, basis, (n, n, n))
    return positions + np.random.default_rng(seed).normal(0, amplitude, positions.shape), cell
