"""Lists that stay right while atoms and cells move, and say when they are too short."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from building import batch_of
from neighbor_systems import (
    CUBE,
    SHEARED,
    WAYS,
    argon,
    assert_same_pairs,
    by_explicit_images,
    pairs_as_set,
    quick_jit,
    start,
    updated,
    varied_batch,
)

from adiabat.atoms.neighbors import AllPairs, NeighborList
from adiabat.atoms.neighbors.images import union
from adiabat.atoms.neighbors.pairs import LANES

LISTS = ("list by pairs", "list by cells")


@quick_jit
def stale(found, batch):
    return found.stale(batch)


@jax.jit
def forces_of(found, batch):
    found = found.update(batch)
    pairs = found.pairs(batch)
    slope = jnp.where(pairs.inside, jnp.exp(-pairs.r2) * (jnp.sqrt(pairs.r2) - 0.9), 0.0)
    return found, jnp.stack(pairs.totals(*(slope * d for d in (pairs.dx, pairs.dy, pairs.dz))), axis=2)


# --- when lists are built anew ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", LISTS)
def test_no_pair_is_missed_along_a_random_walk_of_atoms_and_cells(way, monkeypatch):
    rng = np.random.default_rng(0)
    cutoff, skin = 3.5, 0.8
    batch = batch_of(
        [rng.uniform(0, 9, (14, 3)), rng.uniform(0, 9, (20, 3)), rng.uniform(0, 5, (12, 3)), rng.uniform(0, 9, (9, 3))],
        [CUBE, SHEARED, None, CUBE],
        [True, (True, True, False), False, True],
    )
    found = start(way, batch, cutoff, skin, monkeypatch)
    moving = jnp.asarray([1.0, 1.0, 1.0, 0.0])
    for _ in range(25):
        strain = jnp.eye(3) + rng.normal(0, 0.004, (4, 3, 3)) * moving[:, None, None]
        steps = rng.normal(0, 0.05, batch.positions.shape) * np.asarray(batch.real)[:, :, None]
        moved = jnp.einsum("sna,sab->snb", batch.positions, strain) + steps * moving[:, None, None]
        batch = batch.replace(positions=moved, cell=batch.cell @ strain)
        found, pairs = updated(found, batch)
        if found.outgrown.any():
            found, pairs = updated(found.grown(batch), batch)
        for slot in range(4):
            assert_same_pairs(pairs_as_set(pairs, batch, slot), by_explicit_images(batch, slot, cutoff))
    assert np.all(found.builds[:3] > 2)
    assert np.all(found.builds[:3] < 20)
    assert found.builds[3] == 1, "nothing moved there"


@pytest.fixture(scope="module")
def at_rest():
    with jax.enable_x64(True):
        batch = batch_of([np.random.default_rng(0).uniform(0, 8, (16, 3))] * 2, [CUBE, SHEARED])
        return updated(NeighborList.allocate(batch, 3.0, 0.6), batch)[0], batch


@pytest.mark.parametrize(("moved", "expected"), [(0.0, False), (0.299, False), (0.301, True)])
def test_lists_are_stale_when_an_atom_has_moved_half_the_skin(at_rest, moved, expected):
    found, batch = at_rest
    step = moved * np.array([0.36, 0.48, 0.8])
    np.testing.assert_array_equal(
        stale(found, batch.replace(positions=batch.positions.at[1, 3].add(step))), [False, expected]
    )


@pytest.mark.parametrize(("scale", "expected"), [(3.0 / 3.599, False), (3.0 / 3.601, True), (1.5, False)])
def test_lists_are_stale_when_the_cell_may_have_brought_pairs_nearer_by_the_skin(at_rest, scale, expected):
    found, batch = at_rest
    scaled = batch.replace(positions=batch.positions * scale, cell=batch.cell * scale)
    np.testing.assert_array_equal(stale(found, scaled), [expected, expected])


def test_turning_a_system_does_not_make_its_list_stale(at_rest):
    found, batch = at_rest
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned = batch.replace(positions=batch.positions @ turn, cell=batch.cell @ turn)
    assert not stale(found, turned).any()
    _, pairs = updated(found, turned)
    for slot in range(2):
        assert_same_pairs(pairs_as_set(pairs, turned, slot), by_explicit_images(turned, slot, 3.0))


def test_another_number_of_atoms_or_a_newcomer_makes_a_list_stale(at_rest):
    found, batch = at_rest
    np.testing.assert_array_equal(stale(found, batch.replace(numbers=batch.numbers.at[0, 15].set(0))), [True, False])
    forgotten = found.forget(jnp.array([False, True]))
    np.testing.assert_array_equal(stale(forgotten, batch), [False, True])
    np.testing.assert_array_equal(updated(forgotten, batch)[0].builds, [1, 2])


def test_a_system_that_is_not_finite_harms_no_other(at_rest):
    found, batch = at_rest
    for bad in (np.nan, np.inf, 1e300):
        broken = batch.replace(positions=batch.positions.at[0, 2].set(bad), cell=batch.cell.at[0].multiply(bad))
        broken = broken.replace(positions=broken.positions.at[1].add(0.5 * np.arange(16)[:, None]))
        after, pairs = updated(found, broken)
        assert after.builds[1] == 2
        np.testing.assert_array_equal(after.outgrown, [bad == 1e300, False])  # more room would not help the others
        assert_same_pairs(pairs_as_set(pairs, broken, 1), by_explicit_images(broken, 1, 3.0))


# --- room -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", LISTS)
def test_a_gas_of_dimers_that_condenses_outgrows_its_list_and_says_so(way, monkeypatch):
    rng = np.random.default_rng(0)
    centers = np.array([[x, y, z] for x in range(4) for y in range(4) for z in range(3)][:40]) * 9.0
    gas = np.concatenate([centers, centers + np.array([1.1, 0, 0])]) + rng.normal(0, 0.1, (80, 3))
    cutoff = 4.0
    batch = batch_of([gas, gas], n_slot_atoms=80)
    found, _ = updated(start(way, batch, cutoff, 1.0, monkeypatch), batch)
    assert found.capacity == LANES

    condensed = batch.replace(positions=batch.positions.at[1].multiply(0.15))
    expected = by_explicit_images(condensed, 1, cutoff)
    overflown, pairs = updated(found, condensed)
    np.testing.assert_array_equal(overflown.outgrown, [False, True])
    assert pairs_as_set(pairs, condensed, 1).keys() < expected.keys()
    again, _ = updated(overflown, batch)
    np.testing.assert_array_equal(again.outgrown, [False, True])  # until someone makes room

    grown = overflown.grown(condensed)
    assert not grown.outgrown.any()
    for _ in range(2):  # a grid cell that overflows hides neighbors
        if (after := updated(grown, condensed))[0].outgrown.any():
            grown = after[0].grown(condensed)
    grown, pairs = after
    assert not grown.outgrown.any()
    assert grown.builds[0] == 1, "the list of a system that fits stays"
    assert grown.needed[1] > LANES
    for slot in range(2):
        assert_same_pairs(pairs_as_set(pairs, condensed, slot), by_explicit_images(condensed, slot, cutoff))


@pytest.mark.parametrize("way", LISTS)
def test_newcomers_that_repeat_and_have_small_cells_outgrow_a_list(way, monkeypatch):
    rng = np.random.default_rng(0)
    isolated = batch_of([rng.uniform(0, 8, (12, 3))] * 2, [CUBE] * 2, [False, False])
    found, _ = updated(start(way, isolated, 3.0, 0.5, monkeypatch), isolated)
    cells = isolated.cell * jnp.array([1.0, 0.45])[:, None, None]
    batch = isolated.replace(pbc=jnp.ones((2, 3), bool), cell=cells)
    found, _ = updated(found.forget(jnp.ones(2, bool)), batch)
    np.testing.assert_array_equal(found.outgrown, [True, True])
    found, pairs = updated(found.grown(batch), batch)
    assert not found.outgrown.any()
    for slot in range(2):
        assert_same_pairs(pairs_as_set(pairs, batch, slot), by_explicit_images(batch, slot, 3.0))


def test_a_cell_too_thin_for_a_list_stays_outgrown():
    batch = batch_of([np.random.default_rng(0).uniform(0, 8, (12, 3))] * 2, [CUBE, CUBE])
    found, _ = updated(NeighborList.allocate(batch, 3.0, 0.5), batch)
    flat = batch.replace(cell=batch.cell.at[1, 2].multiply(1e-3))
    for _ in range(2):
        found, pairs = updated(found, flat)
        np.testing.assert_array_equal(found.outgrown, [False, True])
        found = found.grown(flat)
    assert_same_pairs(pairs_as_set(pairs, flat, 0), by_explicit_images(flat, 0, 3.0))


@pytest.mark.parametrize("way", LISTS)
def test_the_way_on_with_more_room_is_as_if_it_had_been_there(way, monkeypatch):
    batch = batch_of([argon(2)[0] * 0.7, argon(2)[0]], [argon(2)[1] * 0.7, argon(2)[1]])
    found, _ = forces_of(start(way, batch, 4.0, 0.5, monkeypatch), batch)
    wide = found.sizes.joined(found.sizes.__class__(found.capacity + 32, None, None))
    roomy = found.resized(wide)
    moves = np.random.default_rng(1).normal(0, 0.1, (4, *batch.positions.shape))
    for move in moves:
        batch = batch.replace(positions=batch.positions + move)
        found, forces = forces_of(found, batch)
        roomy, others = forces_of(roomy, batch)
        np.testing.assert_array_equal(forces, others)
        np.testing.assert_array_equal(found.builds, roomy.builds)
        np.testing.assert_array_equal(found.atoms, roomy.atoms[:, :, : found.capacity])
    assert np.all(found.builds > 1)
    assert np.abs(forces).max() > 1e-6


# --- systems do not know each other -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_pairs_and_sums_are_the_same_to_the_bit_whatever_else_is_in_the_batch(way, monkeypatch):
    batch = varied_batch(seed=0)
    others = varied_batch(seed=1)
    found = start(way, batch, 3.0, 0.5, monkeypatch)
    theirs = start(way, others, 3.0, 0.5, monkeypatch).sizes
    found = found.resized(union(found.sizes, theirs) if way == "all pairs" else found.sizes.joined(theirs))
    moves = np.random.default_rng(1).normal(0, 0.1, (3, *batch.positions.shape)) * np.asarray(batch.real)[:, :, None]

    def run(batch):
        own, rows = found, []
        for move in moves:
            batch = batch.replace(positions=batch.positions + move)
            own, forces = forces_of(own, batch)
            rows.append((own, forces))
        return rows

    reference = run(batch)
    if way != "all pairs":
        assert np.ptp(np.asarray(reference[-1][0].builds)) > 0, "some systems are to be built when others are not"
    for alone in (2, 4, 9):
        mixed = jax.tree.map(lambda a, b, s=alone: b.at[s].set(a[s]), batch, others)
        for row, expected in zip(run(mixed), reference, strict=True):
            for value, there in zip(jax.tree.leaves(row), jax.tree.leaves(expected), strict=True):
                np.testing.assert_array_equal(value[alone], there[alone])
    assert np.abs(reference[-1][1]).max() > 1e-6


@pytest.mark.parametrize("more", [((1, 1, 1), (-1, -1, -1)), ((4, 0, 0), (-4, 0, 0), (0, 1, 3))])
def test_sums_over_all_pairs_are_the_same_to_the_bit_with_images_that_are_not_needed(more):
    batch = varied_batch(n_slot_atoms=21)
    found = AllPairs.allocate(batch, 2.6)
    _, forces = forces_of(found, batch)
    _, others = forces_of(found.resized(union(found.sizes, more)), batch)
    np.testing.assert_array_equal(forces, others)


@pytest.mark.parametrize("way", LISTS)
def test_a_list_with_more_room_of_every_kind_holds_the_same_in_the_same_order(way, monkeypatch):
    batch = varied_batch()
    found = start(way, batch, 3.0, 0.5, monkeypatch)
    grid, images = found.sizes.grid, found.sizes.images
    if grid is not None:
        more = grid._replace(cells=grid.cells + 7, occupancy=grid.occupancy + 8, reach=tuple(r + 1 for r in grid.reach))
        wide = found.sizes.__class__(found.capacity + 64, None, more)
    else:
        wide = found.sizes.__class__(found.capacity + 64, (*images, (7, 0, 0), (-7, 0, 0)), None)
    found, forces = forces_of(found, batch)
    roomy, others = forces_of(NeighborList.empty(*batch.numbers.shape, 3.0, 0.5, wide), batch)
    assert not roomy.outgrown.any()
    np.testing.assert_array_equal(found.atoms, roomy.atoms[:, :, : found.capacity])
    listed = np.arange(found.capacity) < np.asarray(found.counts)[:, :, None]
    np.testing.assert_array_equal(found.shifts[listed], roomy.shifts[:, :, : found.capacity][listed])
    np.testing.assert_array_equal(forces, others)
