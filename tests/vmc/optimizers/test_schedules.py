"""Schedules of the step."""

import jax
import jax.numpy as jnp
import pytest

from adiabat.vmc.optimizers.schedules import Standard, at


def test_the_standard_schedule_halves_after_its_delay():
    assert [float(Standard()(step)) for step in (0, 2000, 6000)] == pytest.approx([0.05, 0.025, 0.0125])
    assert float(Standard(rate=1.0, delay=10.0, decay=2.0)(10)) == pytest.approx(0.25)
    assert float(Standard(decay=0.0)(10_000)) == pytest.approx(0.05)


@pytest.mark.parametrize("schedule", [0.3, Standard(rate=0.3), lambda step: 0.3 + 0 * step])
def test_a_number_and_a_function_of_the_step_are_both_schedules(schedule):
    with jax.enable_x64(True):
        value = jax.jit(lambda step: at(schedule, step))(jnp.int32(0))
    assert float(value) == pytest.approx(0.3)
    assert value.dtype == jnp.float32
