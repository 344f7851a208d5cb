"""The length of an update: the norm of the centred scores times it, over the walkers that are asked."""

import jax
import numpy as np
import pytest
from vmc_toys import Perceptron, jacobian, ravel, walkers

from adiabat.vmc.log_psi import as_log_psi
from adiabat.vmc.update_length import WALKERS, update_length

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("is_complex", [False, True])
def test_it_is_the_spread_of_the_change_of_log_psi(is_complex):
    network = Perceptron(is_complex)
    params, data = network.init(0), walkers(WALKERS + 10)
    updates = jax.tree.map(lambda p: np.cos(np.arange(p.size)).reshape(p.shape), params)
    moved = jacobian(network.log_psi, params, {"electrons": data["electrons"][:WALKERS]}) @ ravel(updates)
    expected = np.sqrt(np.mean(np.abs(moved - moved.mean()) ** 2))
    length = update_length(as_log_psi(network.log_psi), params, updates, jax.tree.map(jax.numpy.asarray, data))
    assert float(length) == pytest.approx(expected, rel=1e-6)
