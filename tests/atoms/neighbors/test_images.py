"""Which images are looked at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from building import batch_of
from neighbor_systems import (
    CUBE,
    LATTICES,
    SHEARED,
    TINY,
    assert_same_pairs,
    by_explicit_images,
    pairs_as_set,
    updated,
)

from adiabat.atoms.neighbors import AllPairs, images_needed
from adiabat.atoms.neighbors.images import image_set, images_suffice
from adiabat.atoms.neighbors.lattice import longest_stretch, reciprocal
from adiabat.errors import InputError


def test_a_cube_needs_the_images_that_a_sphere_around_any_of_its_points_meets():
    cell, pbc = np.eye(3)[None], np.ones((1, 3), bool)
    counts = [len(images_needed(cell, pbc, cutoff)) for cutoff in (0.499, 0.6, 0.8, 1.0)]
    assert counts == [1, 7, 19, 27]


def test_only_directions_that_repeat_have_images():
    images = images_needed(TINY[None], np.array([[False, True, False]]), 4.0)
    assert len(images) > 1
    assert not images[:, [0, 2]].any()
    assert images_needed(TINY[None], np.zeros((1, 3), bool), 4.0) is None


@pytest.mark.parametrize(("cutoff", "reach"), [(1.0, 1), (4.0, 3), (9.0, 6)])
def test_no_image_is_left_out(cutoff, reach):
    rng = np.random.default_rng(1)
    for cell, pbc in LATTICES[:6]:
        pbc = np.broadcast_to(pbc, 3)
        images = {tuple(image) for image in images_needed(cell[None], pbc[None], cutoff).tolist()}
        lattice, count = np.where(pbc[:, None], cell, 0.0), 20000
        normals = np.linalg.svd(lattice)[2][pbc.sum() :]
        offsets = rng.uniform(-0.5, 0.5, (count, 3)) @ lattice + rng.uniform(-1, 1, (count, len(normals))) @ normals
        shifts = np.where(pbc, rng.integers(-reach, reach + 1, (count, 3)), 0)
        near = np.linalg.norm(shifts @ lattice + offsets, axis=1) < cutoff
        assert near.any()
        assert {tuple(shift) for shift in shifts[near].tolist()} <= images


def test_images_come_in_the_same_order_in_every_set():
    few = images_needed(CUBE[None], np.ones((1, 3), bool), 6.0).tolist()
    many = images_needed(np.stack([CUBE, TINY]), np.ones((2, 3), bool), 6.0).tolist()
    assert len(many) > len(few) > 1
    assert [image for image in many if image in few] == few
    assert few[0] == [0, 0, 0]


def test_a_cell_that_shrinks_needs_more_images_and_says_so():
    rng = np.random.default_rng(0)
    cutoff, pbc, seen = 4.4, np.ones((30, 3), bool), set()
    for cell in (CUBE * 1.2, SHEARED * 1.2, TINY):
        images = image_set(images_needed(cell[None], pbc[:1], cutoff))
        cells = (np.eye(3) * rng.uniform(0.5, 1.2, (30, 1, 1)) + rng.normal(0, 0.1, (30, 3, 3))) @ cell
        suffice = jax.jit(lambda cells, images=images: images_suffice(cells, jnp.asarray(pbc), images, cutoff))(cells)
        for new, enough in zip(cells, suffice.tolist(), strict=True):
            assert enough == set(images).issuperset(image_set(images_needed(new[None], pbc[:1], cutoff)))
            seen.add(enough)
    assert seen == {True, False}
    assert not images_suffice(jnp.asarray(CUBE[None]), jnp.ones((1, 3), bool), None, cutoff)


def test_all_pairs_grow_with_a_cell_that_shrinks():
    positions = np.random.default_rng(0).uniform(0, 8, (10, 3))
    batch = batch_of([positions, positions], [CUBE, CUBE * 1.1])
    found = AllPairs.allocate(batch, 3.9)
    assert len(found.sizes) == 1
    small = batch.replace(cell=batch.cell.at[0].multiply(0.6))
    found, pairs = updated(found, small)
    np.testing.assert_array_equal(found.outgrown, [True, False])
    np.testing.assert_array_equal(updated(found, batch)[0].outgrown, [True, False])
    assert pairs_as_set(pairs, small, 0).keys() < by_explicit_images(small, 0, 3.9).keys()
    grown, pairs = updated(found.grown(small), small)
    assert not grown.outgrown.any()
    for slot in range(2):
        assert_same_pairs(pairs_as_set(pairs, small, slot), by_explicit_images(small, slot, 3.9))

    flat = batch.replace(cell=batch.cell.at[0, 1].set(batch.cell[0, 0]))
    found, _ = updated(AllPairs.allocate(batch, 3.9), flat)
    np.testing.assert_array_equal(found.outgrown, [True, False])
    assert found.grown(flat).sizes == found.sizes


@pytest.mark.parametrize(
    "cell",
    [np.diag([5.0, 0.0, 5.0]), np.array([[5.0, 0, 0], [5.0, 0, 0], [0, 0, 5.0]]), np.ones((3, 3)) + 1e-9 * np.eye(3)],
)
def test_a_flat_cell_is_refused(cell):
    with pytest.raises(InputError, match="slot 1 repeats along a, b, c"):
        images_needed(np.stack([CUBE, cell]), np.ones((2, 3), bool), 4.0)


def test_an_infinite_cutoff_is_refused_for_what_repeats():
    with pytest.raises(InputError, match="cutoff"):
        images_needed(CUBE[None], np.ones((1, 3), bool), np.inf)
    assert images_needed(CUBE[None], np.zeros((1, 3), bool), np.inf) is None


def test_reciprocal_vectors_are_those_of_the_pseudoinverse():
    for cell, pbc in LATTICES[:7]:
        pbc = np.broadcast_to(pbc, 3)
        columns = jax.jit(reciprocal)(cell[None], pbc[None])[0]
        np.testing.assert_allclose(columns, np.linalg.pinv(np.where(pbc[:, None], cell, 0.0)), atol=1e-14)


def test_the_longest_stretch_is_never_underestimated():
    rng = np.random.default_rng(3)
    matrices = np.eye(3) + rng.normal(0, 0.3, (500, 3, 3))
    bound, exact = np.asarray(longest_stretch(jnp.asarray(matrices))), np.linalg.norm(matrices, 2, axis=(1, 2))
    assert np.all(bound >= exact * (1 - 1e-14))
    assert np.all(bound <= exact * 1.15)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    np.testing.assert_allclose(longest_stretch(jnp.asarray(1.3 * rotation[None])), 1.3, rtol=1e-14)
