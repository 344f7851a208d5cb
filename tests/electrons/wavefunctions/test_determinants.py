"""The logarithm of a sum of determinants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons.wavefunctions.determinants import log_sum_of_determinants

pytestmark = pytest.mark.usefixtures("x64")


def log_sum(orbitals, coefficients=None):
    given = [jnp.asarray(value) for value in (orbitals, coefficients) if value is not None]
    return jax.tree.map(float, jax.jit(log_sum_of_determinants)(*given))


@pytest.mark.parametrize("electrons", [1, 2, 5])
@pytest.mark.parametrize("determinants", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_sum_of_the_determinants(electrons, determinants, weighted):
    rng = np.random.default_rng(electrons)
    orbitals = rng.standard_normal((determinants, electrons, electrons))
    coefficients = rng.standard_normal(determinants) if weighted else None
    total = np.sum(np.linalg.det(orbitals) * (coefficients if weighted else 1))
    log_abs, phase = log_sum(orbitals, coefficients)
    assert log_abs == pytest.approx(np.log(abs(total)))
    assert phase == pytest.approx(0 if total > 0 else np.pi)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_it_neither_overflows_nor_underflows_in_single_precision(scale):
    orbitals = np.random.default_rng(0).standard_normal((2, 4, 4))
    log_abs, _ = log_sum((orbitals * scale).astype(np.float32))
    assert log_abs == pytest.approx(log_sum(orbitals)[0] + 4 * np.log(scale), rel=1e-5)


@pytest.mark.parametrize("electrons", [1, 2])
@pytest.mark.parametrize("coefficients", [None, [0.5, 2.0]])
def test_a_node_is_minus_infinity(electrons, coefficients):
    """Of all determinants, of one, and of their sum."""
    zero, one = np.zeros((electrons, electrons)), np.eye(electrons)
    weights = None if coefficients is None else np.array(coefficients)
    assert log_sum(np.stack([zero, zero]), weights)[0] == -np.inf
    assert np.isfinite(log_sum(np.stack([zero, one]), weights)[0])
    opposite = np.stack([one, -one]) if electrons == 1 else np.stack([one, one[::-1]])
    assert log_sum(opposite)[0] == -np.inf
