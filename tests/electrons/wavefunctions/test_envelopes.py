"""Envelopes: exponential decay from every nucleus, whatever the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons.wavefunctions.envelopes import SLOWEST_DECAY, envelopes, init_envelopes
from adiabat.electrons.wavefunctions.spins import Spins

SPINS = Spins(2, 1)
DISTANCES = np.array([[0.0, 2.0], [1.0, 1.0], [3.0, 4.0]])


def test_each_spin_has_its_sum_of_exponentials():
    params = init_envelopes(SPINS, 2, 5, decay=np.array([1.0, 0.5]))
    params[1]["weight"] = np.full((2, 5), 2.0, np.float32)
    up, down = envelopes(params, SPINS, jnp.asarray(DISTANCES))
    one, two = np.exp(-DISTANCES).T[0], np.exp(-0.5 * DISTANCES).T[1]
    np.testing.assert_allclose(up, np.tile((one + two)[:2, None], 5), rtol=1e-6)
    np.testing.assert_allclose(down, np.tile(2 * (one + two)[2:, None], 5), rtol=1e-6)


@pytest.mark.parametrize("decay", [-3.0, -1.0, 2.0])
def test_orbitals_decay_also_where_a_parameter_has_become_negative(decay):
    (block,) = envelopes(init_envelopes(Spins(1, 0), 1, 1, decay=decay), Spins(1, 0), jnp.array([[5.0]]))
    assert float(block[0, 0]) == pytest.approx(np.exp(-5 * abs(decay)), rel=1e-5)


@pytest.mark.parametrize("decay", [-0.1, 0.0, 1e-3, 0.15])
def test_no_decay_is_slower_than_that_of_the_loosest_bound_electron(decay):
    def log_envelope(decay):
        params = [{"weight": jnp.ones((1, 1)), "decay": decay * jnp.ones((1, 1))}]
        return jnp.log(envelopes(params, Spins(1, 0), jnp.array([[50.0]]))[0][0, 0])

    value, slope = jax.value_and_grad(log_envelope)(decay)
    # A walker in a tail any slower would find more and more room, and leave.
    assert float(value) <= -50 * SLOWEST_DECAY + 1e-4
    # Not at a standstill: energies of walkers in the tail still decide how far it reaches.
    assert abs(float(slope)) == pytest.approx(50, rel=1e-5)
