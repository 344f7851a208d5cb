"""The energy gradient: a covariance, whatever the wavefunction, and statistics that hide nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import Exponential, Perceptron, jacobian, quick_jit, ravel, walkers

from adiabat.vmc.gradient import LossAndGrad, clip_local_energies, energy_statistics
from adiabat.vmc.log_psi import as_log_psi
from adiabat.vmc.walkers import weighted_gradient

pytestmark = pytest.mark.usefixtures("x64")


def energies(count, *, is_complex=False, seed=1):
    rng = np.random.default_rng(seed)
    real, imaginary = rng.standard_normal((2, count))
    return real + 1j * imaginary if is_complex else real


def gradient(network, values, *, clip=None, chunk=None):
    loss = LossAndGrad(clip=clip, f_log_psi=network.log_psi, chunk=chunk)

    def of(params, data, values):
        return loss.gradient(params, data, loss.residuals(values))

    return ravel(quick_jit(of)(network.init(0), walkers(len(values)), values))


@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("chunk", [None, 4])
def test_the_weighted_gradient_is_the_mean_of_the_gradients_of_single_walkers(is_complex, chunk):
    """``2 Re <conj(O) (E - <E>)>``."""
    network, values = Perceptron(is_complex), energies(12, is_complex=is_complex)
    scores = jacobian(network.log_psi, network.init(0), walkers(12))
    expected = 2 * np.real(np.mean(scores.conj() * (values - values.mean())[:, None], axis=0))
    np.testing.assert_allclose(gradient(network, values, chunk=chunk), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("clip", [None, 2.0])
@pytest.mark.parametrize("constant", [5.0, 0.5j, 3.0 - 40.0j])
def test_a_constant_added_to_the_energies_changes_no_gradient(constant, clip):
    network, values = Perceptron(is_complex=True), energies(12, is_complex=True)
    shifted = gradient(network, values + constant, clip=clip)
    np.testing.assert_allclose(shifted, gradient(network, values, clip=clip), rtol=0, atol=1e-13 * abs(constant))


def test_the_gradient_is_the_derivative_of_the_energy():
    """For exp(-a r) in hydrogen E = a^2 / 2 - a; the radius is drawn from its exact density."""
    a, count = 0.8, 100_000
    rng = np.random.default_rng(0)
    r = rng.gamma(3, 1 / (2 * a), count)
    local = -(a**2) / 2 + (a - 1) / r
    loss = LossAndGrad(clip=None, f_log_psi=as_log_psi(Exponential().log_psi))
    data = {"electrons": jnp.asarray(np.stack([r, 0 * r, 0 * r], axis=-1)[:, None])}
    residuals = loss.residuals(jnp.asarray(local))
    found = float(loss.gradient({"a": jnp.asarray(a)}, data, residuals)["a"])
    error = np.std(2 * (local - local.mean()) * r) / np.sqrt(count)
    assert found == pytest.approx(a - 1, abs=4 * error)
    assert error < 0.005


@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
def test_clipping_bounds_outliers_around_the_median_and_leaves_the_rest(is_complex):
    values = energies(101, is_complex=is_complex)
    values[3] += 1e6 * (1 - 1j if is_complex else 1)
    given = jnp.asarray(values)
    clipped = np.asarray(clip_local_energies(given, 0.5))
    assert clip_local_energies(given, None) is given
    for part in (np.real, np.imag) if is_complex else (np.real,):
        median = np.median(part(values))
        width = 0.5 * np.mean(np.abs(part(values) - median))
        np.testing.assert_allclose(part(clipped), np.clip(part(values), median - width, median + width), rtol=1e-14)


def test_clipping_does_not_depend_on_the_zero_and_the_unit_of_energy():
    values = jnp.asarray(energies(50))
    scaled = clip_local_energies(3 * values - 100, 1.0)
    np.testing.assert_allclose(scaled, 3 * clip_local_energies(values, 1.0) - 100, rtol=1e-13)


@pytest.mark.parametrize("mean", [-109.5, -1000.0])
def test_the_variance_of_energies_in_single_precision_is_that_of_double_precision(mean):
    values = (mean + 0.1 * np.random.default_rng(0).standard_normal(4096)).astype(np.float32)
    found = energy_statistics(jnp.asarray(values))
    assert found.variance.dtype == found.mean.dtype == np.float64
    assert float(found.variance) == pytest.approx(np.var(values.astype(np.float64)), rel=1e-12)
    assert float(found.mean) == pytest.approx(np.mean(values.astype(np.float64)), rel=1e-15)
    assert found.nonfinite == 0


def test_the_variance_of_complex_energies_is_real_and_counts_both_parts():
    values = energies(1000, is_complex=True)
    found = energy_statistics(jnp.asarray(values))
    assert float(found.variance) == pytest.approx(np.var(values), rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_energies_that_are_not_finite_are_counted_and_not_averaged_away(bad):
    found = energy_statistics(jnp.asarray([1.0, 2.0, bad, 3.0, bad], jnp.float32))
    assert found.nonfinite == 2
    assert not np.isfinite(found.mean)
    assert not np.isfinite(found.variance)


def test_a_gradient_without_a_wavefunction_is_refused():
    with pytest.raises(ValueError, match="wired"):
        LossAndGrad().gradient({}, {}, jnp.ones(3))


def test_against_the_gradient_of_a_complex_parameter_it_goes_downhill():
    """d/dx + i d/dy of z = x + i y: that of |z - w|^2 / 2 is z - w."""

    def log_psi(params, walker):
        return -0.5 * jnp.sum(jnp.abs(params["z"] - walker["electrons"][0, 0] * (1 + 2j)) ** 2)

    params, data = {"z": jnp.asarray([0.5 - 1j])}, walkers(6)
    found = weighted_gradient(log_psi, params, jax.tree.map(jnp.asarray, data), jnp.full(6, -1 / 6))
    centre = np.mean(data["electrons"][:, 0, 0]) * (1 + 2j)
    np.testing.assert_allclose(found["z"], params["z"] - centre, rtol=1e-12)
