"""Distances with and without cusps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons.wavefunctions.geometry import (
    CUSP_RATE,
    cusp_rates,
    cuspless_length,
    geometry,
    resolved_features,
)

pytestmark = pytest.mark.usefixtures("x64")


def test_vectors_point_to_the_electron_and_lengths_are_theirs():
    rng = np.random.default_rng(0)
    x, nuclei = rng.standard_normal((3, 3)), rng.standard_normal((2, 3))
    places = geometry(jnp.asarray(x), nuclei)
    for i in range(3):
        for k in range(2):
            np.testing.assert_allclose(places.nuclear_vectors[i, k], x[i] - nuclei[k])
            assert float(places.nuclear_lengths[i, k]) == pytest.approx(np.linalg.norm(x[i] - nuclei[k]))
        for j in range(3):
            np.testing.assert_allclose(places.pair_vectors[i, j], x[i] - x[j])
            assert float(places.pair_lengths[i, j]) == pytest.approx(np.linalg.norm(x[i] - x[j]))


def test_the_distance_of_an_electron_to_itself_has_finite_derivatives():
    total = lambda x: jnp.sum(geometry(x, np.zeros((1, 3))).pair_lengths)  # noqa: E731
    x = jnp.asarray(np.random.default_rng(1).standard_normal((2, 3)))
    assert np.all(np.isfinite(jax.jit(jax.grad(total))(x)))
    assert np.all(np.isfinite(jax.jit(jax.hessian(total))(x)))


@pytest.mark.parametrize("rate", [0.5, 1.0, 6.0])
def test_a_cuspless_length_has_no_slope_at_zero_and_is_the_distance_less_a_constant_far_away(rate):
    length = jax.value_and_grad(lambda r: cuspless_length(r, rate))
    assert jax.tree.map(float, length(0.0)) == (0, 0)
    value, slope = length(100.0)
    assert float(value) == pytest.approx(100 - 1 / rate)
    assert float(slope) == pytest.approx(1)


@pytest.mark.parametrize("charge", [1, 7])
def test_the_cusp_that_is_left_out_is_that_of_the_nuclear_jastrow_factor(charge):
    """``exp(-Z s(r))`` times ``exp((Z / b) exp(-b r))`` is ``exp(-Z r)`` but for a constant."""
    r, (rate,) = np.linspace(0.01, 4, 50), cusp_rates(np.array([charge]))
    assert rate == CUSP_RATE * charge
    exponent = -charge * cuspless_length(jnp.asarray(r), rate) + charge / rate * np.exp(-rate * r)
    np.testing.assert_allclose(exponent, charge / rate - charge * r, atol=1e-12)


def test_resolved_features_see_the_core_and_have_no_cusp():
    """Their dependence on the distance is even at zero; far out they grow as its logarithm and as the direction."""
    rate = 4.5

    def along_a_ray(r):
        vector = r * jnp.array([0.6, 0.0, 0.8])
        return resolved_features(vector, cuspless_length(jnp.abs(r), rate), rate)

    near, opposite, far = along_a_ray(1e-5), along_a_ray(-1e-5), along_a_ray(1e4)
    np.testing.assert_allclose((near + opposite) / 2, 0, atol=1e-8)
    np.testing.assert_allclose((near - opposite)[1:] / 2e-5, [0.6 * rate, 0, 0.8 * rate], rtol=1e-4)
    np.testing.assert_allclose(far, [np.log(1e4 * rate), 0.6, 0, 0.8], rtol=1e-3)
