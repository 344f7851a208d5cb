"""The logarithm of a sum of determinants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons.wavefunctions.determinants import log_sum_of_determinants

pytestmark = pytest.mark.usefixtures("x64")


def log_sum(orbitals):
    return jax.tree.map(float, jax.jit(log_sum_of_determinants)(jnp.asarray(orbitals)))


@pytest.mark.parametrize("electrons", [1, 2, 5])
@pytest.mark.parametrize("determinants", [1, 3])
def test_it_is_the_sum_of_the_determinants(electrons, determinants):
    rng = np.random.default_rng(electrons)
    orbitals = rng.standard_normal((determinants, electrons, electrons))
    total = np.sum(np.linalg.det(orbitals))
    log_abs, phase = log_sum(orbitals)
    assert log_abs == pytest.approx(np.log(abs(total)))
    assert phase == pytest.approx(0 if total > 0 else np.pi)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_it_neither_overflows_nor_underflows_in_single_precision(scale):
    orbitals = np.random.default_rng(0).standard_normal((2, 4, 4))
    log_abs, _ = log_sum((orbitals * scale).astype(np.float32))
    assert log_abs == pytest.approx(log_sum(orbitals)[0] + 4 * np.log(scale), rel=1e-5)


@pytest.mark.parametrize("electrons", [1, 2])
def test_a_node_is_minus_infinity(electrons):
    """Of all determinants, of one, and of their sum."""
    zero, one = np.zeros((electrons, electrons)), np.eye(electrons)
    assert log_sum(np.stack([zero, zero]))[0] == -np.inf
    assert np.isfinite(log_sum(np.stack([zero, one]))[0])
    opposite = np.stack([one, -one]) if electrons == 1 else np.stack([one, one[::-1]])
    assert log_sum(opposite)[0] == -np.inf


@pytest.mark.parametrize("electrons", [1, 2, 4])
def test_a_determinant_of_no_weight_harms_no_derivative(electrons):
    """Singular, it has infinite derivatives; to those of the sum it adds nothing."""
    regular = np.random.default_rng(electrons).standard_normal((electrons, electrons))
    gradient = jax.jit(jax.grad(lambda orbitals: log_sum_of_determinants(orbitals)[0]))
    found = gradient(jnp.asarray(np.stack([regular, np.zeros_like(regular)])))
    np.testing.assert_allclose(found[0], np.linalg.inv(regular).T, rtol=1e-10)
    np.testing.assert_array_equal(found[1], 0)
