"""Every way to find neighbors finds all pairs within the cutoff, once each, and no others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from building import batch_of
from neighbor_systems import (
    LATTICES,
    TINY,
    WAYS,
    argon,
    assert_same_pairs,
    by_ase,
    by_explicit_images,
    crystal,
    pairs_as_set,
    start,
    updated,
    varied_batch,
)

from adiabat.atoms.neighbors import AllPairs, NeighborList, all_pairs
from adiabat.errors import InputError


@pytest.mark.parametrize("way", WAYS)
def test_lattices_of_all_kinds_in_one_batch(way, monkeypatch):
    cutoff = 3.7
    batch = varied_batch()
    found, pairs = updated(start(way, batch, cutoff, 0.4, monkeypatch), batch)
    assert not found.outgrown.any()
    assert not pairs.inside[0].any(), "the first slot is empty"
    for slot in range(1, 1 + len(LATTICES)):
        expected = by_explicit_images(batch, slot, cutoff)
        assert len(expected) > 20
        assert_same_pairs(pairs_as_set(pairs, batch, slot), expected)
        assert_same_pairs(by_ase(batch, slot, cutoff), expected)
    assert all(np.isfinite(component).all() for component in (pairs.dx, pairs.dy, pairs.dz, pairs.r2))
    assert np.all(np.asarray(pairs.r2)[~np.asarray(pairs.inside)] >= cutoff**2)


@pytest.mark.parametrize("way", WAYS)
def test_perfect_crystals_whose_atoms_lie_on_boundaries_and_half_way(way, monkeypatch):
    """Rounding decides there which image is the nearest, and has to decide it once."""
    fcc, hexagonal = np.array([[0, 2.5, 2.5], [2.5, 0, 2.5], [2.5, 2.5, 0]]), np.diag([3.0, 3.0, 4.9])
    hexagonal[1] = [-1.5, 1.5 * np.sqrt(3), 0]
    crystals = [
        crystal(fcc, [[0, 0, 0]], (2, 2, 2)),
        crystal(fcc, [[0, 0, 0], [0.5, 0.5, 0.5]], (2, 2, 1)),
        crystal(hexagonal, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]], (2, 2, 1)),
        crystal(np.eye(3) * 2.6, [[0, 0, 0]], (2, 2, 2)),
    ]
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    crystals += [(positions @ turn, cell @ turn) for positions, cell in crystals]
    batch = batch_of(*zip(*crystals, strict=True))
    cutoff = 5.3
    found = start(way, batch, cutoff, 0.3, monkeypatch)
    found, pairs = jax.jit(lambda f, b: (g := f.update(b), g.pairs(b)))(found, batch)
    assert not found.outgrown.any()
    for slot in range(len(crystals)):
        assert_same_pairs(pairs_as_set(pairs, batch, slot), by_explicit_images(batch, slot, cutoff))


def test_an_atom_alone_in_its_cell_sees_its_images():
    batch = batch_of([np.zeros((1, 3))], [TINY])
    _, pairs = updated(AllPairs.allocate(batch, 6.0), batch)
    assert_same_pairs(pairs_as_set(pairs, batch, 0), by_ase(batch, 0, 6.0))


def test_without_periodicity_the_cutoff_may_be_infinite():
    batch = batch_of([np.random.default_rng(0).normal(0, 30, (9, 3)), np.eye(3)])
    pairs = all_pairs(batch, np.inf, None)
    np.testing.assert_array_equal(pairs.inside.sum(axis=(1, 2)), [72, 6])
    assert np.isfinite(pairs.r2).all()


def test_large_systems_are_searched_by_a_cell_list():
    crystals = [argon(5, seed=1), argon(5, seed=2)]
    crystals[1] = (crystals[1][0][:450], crystals[1][1] * [[1], [1], [1.7]])
    batch = batch_of(*zip(*crystals, strict=True))
    found = NeighborList.allocate(batch, 5.5, 0.6)
    assert found.sizes.grid is not None
    assert found.sizes.grid.cells >= 64
    found, pairs = updated(found, batch)
    for slot in range(2):
        expected = by_ase(batch, slot, 5.5)
        assert_same_pairs(pairs_as_set(pairs, batch, slot), expected)
    assert np.all(found.needed <= found.capacity)


def test_cells_whose_heights_are_multiples_of_the_radius(monkeypatch):
    batch = batch_of([np.random.default_rng(0).uniform(-9, 18, (24, 3))], [np.diag([6.0, 9.0, 12.0])])
    found, pairs = updated(start("list by cells", batch, 2.75, 0.25, monkeypatch), batch)
    assert not found.outgrown.any()
    assert_same_pairs(pairs_as_set(pairs, batch, 0), by_explicit_images(batch, 0, 2.75))


def test_all_atoms_in_one_cell_of_the_grid(monkeypatch):
    batch = batch_of([np.random.default_rng(0).uniform(0, 3, (24, 3))])
    found = start("list by cells", batch, 2.9, 0.4, monkeypatch)
    assert found.sizes.grid.reach == (0, 0, 0)
    found, pairs = updated(found, batch)
    assert_same_pairs(pairs_as_set(pairs, batch, 0), by_explicit_images(batch, 0, 2.9))
    longer = batch.replace(positions=batch.positions * jnp.array([1.0, 1.0, 5.0]))
    found, _ = updated(found, longer)
    assert found.outgrown.all()
    _, pairs = updated(found.grown(longer), longer)
    assert_same_pairs(pairs_as_set(pairs, longer, 0), by_explicit_images(longer, 0, 2.9))


def test_a_few_atoms_very_far_apart(monkeypatch):
    rng = np.random.default_rng(2)
    far = rng.normal(0, 1, (3, 20, 3)) + np.array([0, 3e4, 9e7])[:, None, None] * rng.normal(size=(3, 1, 3))
    batch = batch_of([far.reshape(60, 3), rng.normal(0, 2, (60, 3))])
    found, pairs = updated(start("list by cells", batch, 2.0, 0.3, monkeypatch), batch)
    assert not found.outgrown.any()
    for slot in range(2):
        assert_same_pairs(pairs_as_set(pairs, batch, slot), by_explicit_images(batch, slot, 2.0))


@pytest.mark.parametrize("way", WAYS)
def test_values_of_neighbors_and_sums_over_them(way, monkeypatch):
    batch = varied_batch()
    _, pairs = updated(start(way, batch, 3.7, 0.4, monkeypatch), batch)
    values = jnp.asarray(np.random.default_rng(0).normal(size=batch.numbers.shape))
    ones = jnp.where(pairs.inside, 1.0, 0.0)
    counts, sums = pairs.totals(ones, jnp.where(pairs.inside, pairs.of_neighbors(values) * pairs.r2, 0.0))
    np.testing.assert_array_equal(counts, pairs.total(ones))
    for slot in range(1, 1 + len(LATTICES)):
        expected = np.zeros((2, batch.n_slot_atoms))
        for (i, j, *_), vector in by_explicit_images(batch, slot, 3.7).items():
            expected[:, i] += 1, values[slot, j] * np.sum(vector**2)
        np.testing.assert_array_equal(counts[slot], expected[0])
        np.testing.assert_allclose(sums[slot], expected[1], atol=1e-10)


def test_what_cannot_be_a_list_is_refused():
    batch = batch_of([np.zeros((1, 3))], [np.diag([5.0, 0.4, 5.0])])
    with pytest.raises(InputError, match=r"height 0\.4 angstrom repeats too often within 6"):
        NeighborList.allocate(batch, 5.0, 1.0)
    for cutoff, skin in [(0.0, 1.0), (np.inf, 1.0), (5.0, -0.1), (np.nan, 1.0)]:
        with pytest.raises(InputError, match="cutoff"):
            NeighborList.allocate(batch, cutoff, skin)
