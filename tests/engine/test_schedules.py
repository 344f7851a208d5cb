"""Schedules of the step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.config import ConfigManager, from_flags
from adiabat.config.sources import Flag
from adiabat.engine.schedules import Constant, Cosine, Linear, Piecewise, Standard, WarmUp, at
from adiabat.errors import InputError


def test_the_standard_schedule_halves_after_its_delay():
    assert [float(Standard()(step)) for step in (0, 2000, 6000)] == pytest.approx([0.05, 0.025, 0.0125])
    assert float(Standard(rate=1.0, delay=10.0, decay=2.0)(10)) == pytest.approx(0.25)
    assert float(Standard(decay=0.0)(10_000)) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Constant(0.2), {0: 0.2, 10**6: 0.2}),
        (Cosine(0.3, steps=100, final=0.1), {0: 0.3, 25: 0.2 + 0.1 * np.sqrt(0.5), 50: 0.2, 100: 0.1, 1000: 0.1}),
        (Linear(300.0, 100.0, steps=100), {0: 300.0, 25: 250.0, 100: 100.0, 1000: 100.0}),
        (WarmUp(10), {0: 0.0, 5: 0.025, 10: 0.05, 2010: 0.025}),
        (WarmUp(10, then=0.3), {0: 0.0, 1: 0.03, 10: 0.3, 99: 0.3}),
        (WarmUp(10, then=Cosine(0.3, steps=100)), {5: 0.15, 10: 0.3, 60: 0.15, 110: 0.0}),
        (Piecewise((0.3, 0.2, 0.1), steps=(10, 20)), {0: 0.3, 9: 0.3, 10: 0.2, 19: 0.2, 20: 0.1, 10**6: 0.1}),
        (Piecewise((0.3,), steps=()), {0: 0.3, 7: 0.3}),
    ],
)
def test_a_schedule_follows_its_formula(schedule, values):
    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(lambda step: at(schedule, step)))(jnp.array(list(values), jnp.int32))
    np.testing.assert_allclose(found, list(values.values()), rtol=1e-6, atol=1e-8)
    assert found.dtype == jnp.float32


@pytest.mark.parametrize(
    "flags",
    [
        [
            "--rate.kind=warmup",
            "--rate.steps=10",
            "--rate.then.kind=cosine",
            "--rate.then.rate=0.3",
            "--rate.then.steps=9",
        ],
        ["--rate.kind=warmup", "--rate.steps=10", "--rate.then=0.2"],
        ["--rate.kind=piecewise", "--rate.rates=0.3,0.2", "--rate.steps=4"],
    ],
)
def test_every_schedule_can_be_written_as_flags(flags):
    options = dict(flag.removeprefix("--").split("=") for flag in flags)
    schedule = ConfigManager(
        [from_flags([Flag(name, text, f"--{name}") for name, text in options.items()])]
    ).get_module("rate", 0.1, family="schedules")
    assert type(schedule).__name__.lower() == options["rate.kind"]
    assert schedule(10**6) >= 0


@pytest.mark.parametrize(("rates", "steps"), [((0.1,), (5,)), ((0.1, 0.2), ()), ((0.1, 0.2, 0.3), (7, 5))])
def test_pieces_that_do_not_fit_together_are_refused(rates, steps):
    with pytest.raises(InputError, match="one rate more than steps, and steps that ascend"):
        Piecewise(rates, steps)


@pytest.mark.parametrize("schedule", [0.3, Standard(rate=0.3), lambda step: 0.3 + 0 * step])
def test_a_number_and_a_function_of_the_step_are_both_schedules(schedule):
    with jax.enable_x64(True):
        value = jax.jit(lambda step: at(schedule, step))(jnp.int32(0))
    assert float(value) == pytest.approx(0.3)
    assert value.dtype == jnp.float32
