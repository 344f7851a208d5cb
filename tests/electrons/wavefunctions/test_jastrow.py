"""Jastrow factors: exact cusps, no poles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons.wavefunctions.geometry import geometry
from adiabat.electrons.wavefunctions.jastrow import electron_jastrow, init_electron_jastrow, nuclear_jastrow
from adiabat.electrons.wavefunctions.spins import Spins

pytestmark = pytest.mark.usefixtures("x64")

ANY_PARAMETER = np.array([-1e4, -40.0, -1.0, 0.0, 1.0, 40.0, 1e4])
SPINS = [Spins(2, 0), Spins(1, 1), Spins(0, 2)]


def pair_factor(parameters, distances, spins):
    """Values and slopes (parameters, distances) of the factor of two electrons."""

    def of(parameter, r):
        places = geometry(jnp.array([[0.0, 0, 0], [0, 0, 1]]) * r, np.zeros((1, 3)))
        return electron_jastrow({"range": jnp.full(2, parameter)}, spins, places)

    for_all = jax.vmap(jax.vmap(jax.value_and_grad(of, argnums=1), in_axes=(None, 0)), in_axes=(0, None))
    return jax.tree.map(np.asarray, jax.jit(for_all)(parameters, distances))


@pytest.mark.parametrize("spins", SPINS)
def test_it_is_finite_and_rises_with_the_distance_for_every_parameter(spins):
    values, slopes = pair_factor(ANY_PARAMETER, np.geomspace(1e-12, 1e3, 60), spins)
    assert np.all(np.isfinite(values))
    assert np.all(np.isfinite(slopes))
    assert np.all(values <= 0)
    assert np.all(slopes >= 0)


@pytest.mark.parametrize(("spins", "cusp"), zip(SPINS, [0.25, 0.5, 0.25], strict=True))
def test_the_electron_cusp_is_exact_for_every_range(spins, cusp):
    _, slopes = pair_factor(np.array([-4.0, 0.0, 5.0]), np.array([1e-9]), spins)
    np.testing.assert_allclose(slopes, cusp, rtol=1e-6)


def test_every_pair_counts_once_with_the_range_of_its_spins():
    params = init_electron_jastrow(length=1.5, dtype="float64")
    params["range"] = params["range"] + np.array([0.0, 1.0])
    x, spins = np.random.default_rng(0).standard_normal((4, 3)), Spins(2, 2)
    same, other = np.log1p(np.exp(params["range"]))
    assert same == pytest.approx(1.5)
    expected = 0.0
    for i in range(4):
        for j in range(i):
            c, a = (0.25, same) if (i < 2) == (j < 2) else (0.5, other)
            expected -= c * a**2 / (a + np.linalg.norm(x[i] - x[j]))
    found = jax.jit(lambda params, x: electron_jastrow(params, spins, geometry(x, np.zeros((1, 3)))))(params, x)
    assert float(found) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("charge", [1, 3, 26])
def test_the_nuclear_cusp_is_exact_and_short_ranged(charge):
    def factor(r):
        return nuclear_jastrow(np.array([charge]), geometry(jnp.array([[0.0, 0.0, 1.0]]) * r, np.zeros((1, 3))))

    assert float(jax.jit(jax.grad(factor))(1e-9)) == pytest.approx(-charge, rel=1e-6)
    assert 0 <= float(jax.jit(factor)(10.0)) < 1e-6
