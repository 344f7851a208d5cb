"""Every form a wavefunction may return becomes one differentiable number."""

import jax.numpy as jnp
import pytest

from adiabat.vmc.log_psi import LogPsi, as_log_psi

WALKER = {"electrons": jnp.array([[1.0, 2.0, 3.0]])}


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda params, x: (jnp.sum(x), jnp.pi), 6.0),
        (lambda params, x: jnp.sum(x), 6.0),
        (lambda params, x: jnp.sum(x) + 2j, 6.0 + 2j),
    ],
    ids=["log and phase", "real", "complex"],
)
def test_log_psi_is_one_number_and_log_abs_its_real_part(function, value):
    log_psi = as_log_psi(function)
    assert log_psi(None, WALKER) == value
    assert log_psi.log_abs(None, WALKER) == 6.0


def test_one_field_is_handed_over_alone_and_several_as_a_mapping():
    both = {**WALKER, "nuclei": jnp.zeros((1, 3))}
    assert LogPsi(lambda params, x: jnp.sum(x["electrons"]) + params)(1.0, both) == 7.0


def test_wrapping_twice_is_wrapping_once():
    log_psi = as_log_psi(lambda params, x: jnp.sum(x))
    assert as_log_psi(log_psi) is log_psi
