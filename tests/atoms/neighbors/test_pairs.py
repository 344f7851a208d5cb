"""Sums over neighbors do not depend on room that nobody needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.atoms.neighbors import Pairs


@jax.jit
def sums(values, index):
    pairs = Pairs(values, values, values, values**2, values > 0, index)
    return pairs.total(jnp.sin(values)), *pairs.totals(jnp.sin(values), jnp.cos(values) * (values != 0))


@pytest.mark.parametrize("room", [16, 32, 112, 1024, 2080])
@pytest.mark.parametrize("more", [16, 32, 1024])
def test_more_room_for_neighbors(room, more):
    values = np.random.default_rng(room).normal(size=(2, 3, room))
    wide = np.pad(values, [(0, 0), (0, 0), (0, more)])
    few, many = (sums(jnp.asarray(v), jnp.zeros(v.shape, jnp.int32)) for v in (values, wide))
    for narrow, roomy, exact in zip(few, many, (np.sin(values), np.sin(values), np.cos(values)), strict=True):
        np.testing.assert_array_equal(narrow, roomy)
        np.testing.assert_allclose(narrow, exact.sum(axis=2), atol=1e-11)


@pytest.mark.parametrize("n_atoms", [3, 24, 64])
@pytest.mark.parametrize("images", [7, 57])
def test_more_images(n_atoms, images):
    values = np.random.default_rng(images).normal(size=(2, n_atoms, images, n_atoms))
    among_others = np.insert(values, [1, 4, 4, images], 0.0, axis=2)
    few, many = (sums(jnp.asarray(v.reshape(2, n_atoms, -1)), None) for v in (values, among_others))
    for narrow, roomy in zip(few, many, strict=True):
        np.testing.assert_array_equal(narrow, roomy)
