"""Spin bookkeeping: up first, then down, and no empty channel."""

import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons.wavefunctions.spins import Spins


@pytest.mark.parametrize(
    ("up", "down", "channels"), [(2, 1, [slice(0, 2), slice(2, 3)]), (2, 0, [slice(0, 2)]), (0, 3, [slice(0, 3)])]
)
def test_channels_are_those_that_have_electrons(up, down, channels):
    spins = Spins(up, down)
    assert list(spins.channels) == channels
    assert spins.electrons == up + down
    assert spins.signs.tolist() == [1.0] * up + [-1.0] * down


def test_pairs_are_counted_once_and_know_whether_their_spins_are_equal():
    spins = Spins(2, 2)
    pairs = dict(zip(zip(*spins.pairs, strict=True), spins.parallel, strict=True))
    assert len(pairs) == 6
    assert {pair for pair, parallel in pairs.items() if parallel} == {(0, 1), (2, 3)}


def test_means_are_over_each_spin_side_by_side():
    h = np.arange(6.0).reshape(3, 2)
    np.testing.assert_allclose(Spins(2, 1).means(jnp.asarray(h)), [1, 2, 4, 5])
    pairs = np.arange(18.0).reshape(3, 3, 2)
    means = Spins(1, 2).means(jnp.asarray(pairs))
    np.testing.assert_allclose(means[1], [*pairs[1, 0], *pairs[1, 1:].mean(axis=0)])
