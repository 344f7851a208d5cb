"""The places of the first entries of a mask that are true."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.atoms.neighbors.first_set import counted, first_set, in_words, packed


@pytest.mark.parametrize(("width", "room"), [(1, 32), (32, 32), (33, 32), (255, 64), (256, 96), (1000, 32)])
def test_positions_are_those_of_numpy(width, room):
    rng = np.random.default_rng(width)
    mask = rng.uniform(size=(40, width)) < np.linspace(0, 1, 40)[:, None]  # from none to all

    @jax.jit
    def find(mask):
        rows = counted(packed(in_words(mask, False)))
        return first_set(rows, room), rows.counts

    positions, counts = find(jnp.asarray(mask))
    np.testing.assert_array_equal(counts, mask.sum(axis=1))
    for row, found in zip(mask, np.asarray(positions), strict=True):
        expected = np.flatnonzero(row)[:room]
        np.testing.assert_array_equal(found[: len(expected)], expected)
        assert np.all((found >= 0) & (found < -(-width // 32) * 32)), "what nothing checks has to exist"
