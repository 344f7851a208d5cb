"""Numbers, numbers by system, and schedules."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.atoms.batch import Batch
from adiabat.atoms.per_system import PerSystem, check_lengths, normalize, per_system
from adiabat.config import setting
from adiabat.engine import Clock
from adiabat.errors import InputError


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def batch(ids=(2, 0, 1), stage_age=(0, 5, 7)):
    clock = Clock.start(0, len(ids), 0, ids).replace(stage_age=np.array(stage_age, np.int32), age=np.full(3, 99))
    numbers, empty = np.ones((3, 1), np.int32), np.zeros((3, 1, 3))
    fields = dict.fromkeys(("masses", "velocities", "cell", "pbc", "energy", "forces", "stress"), empty)
    batch = Batch(positions=empty, numbers=numbers, **fields, fixed=empty, fixed_center=empty, clock=clock)
    return jax.tree.map(jnp.asarray, batch)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (300, [300, 300, 300]),
        (np.float32(0.5), [0.5, 0.5, 0.5]),
        ((10.0, 20.0, 30.0), [30, 10, 20]),
        ([10, 20, 30], [30, 10, 20]),
        (np.array([10.0, 20.0, 30.0]), [30, 10, 20]),
        (lambda step: 2.0 * step + 1, [1, 11, 15]),
        (lambda step: 4, [4, 4, 4]),
    ],
)
def test_values_of_each_system(value, expected):
    result = per_system(value, batch())
    assert result.dtype == jnp.float64
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(jax.jit(lambda b: per_system(value, b))(batch()), expected)


def test_a_number_too_few_is_never_another_systems_and_empty_slots_are_harmless():
    np.testing.assert_array_equal(per_system((10.0, 20.0), batch(ids=(1, 2, -1))), [20, np.nan, 10])


@pytest.mark.parametrize("value", ["300", None, True, [], [[1.0]], float("nan"), [1.0, float("inf")], {"a": 1}])
def test_anything_else_is_refused(value):
    with pytest.raises(InputError, match="expected a number, one number for each system, or a function of the step"):
        per_system(value, batch())


def test_schedules_that_cannot_be_traced_or_give_no_number():
    with pytest.raises(InputError, match=r"jnp.where instead of if"):
        per_system(lambda step: 1.0 if step > 3 else 2.0, batch())
    with pytest.raises(InputError, match=r"gave an array of shape \(2,\); expected one number"):
        per_system(lambda step: jnp.ones(2), batch())


@dataclass
class Inner:
    pressure: PerSystem = setting(0.0)


@dataclass
class Outer:
    temperature: PerSystem = setting(1.0, above=0)
    initial: PerSystem | None = setting(None, min=0)
    inner: Inner | None = None
    n: int = 3


def test_settings_are_brought_into_one_form_and_checked():
    outer = Outer(temperature=np.array([1, 2]), initial=3)
    normalize(outer)
    assert (outer.temperature, outer.initial, outer.n) == ((1.0, 2.0), 3.0, 3)
    with pytest.raises(InputError, match=r"Outer.temperature: expected .* > 0"):
        normalize(Outer(temperature=[1.0, 0.0]))
    with pytest.raises(InputError, match=r"Outer.initial: got 'x'"):
        normalize(Outer(initial="x"))


def test_lengths_are_those_of_the_data_set():
    check_lengths(Outer(temperature=(1.0, 2.0), inner=Inner(pressure=1.0)), 2)
    with pytest.raises(InputError, match=r"Outer.temperature: got 2 numbers for 3 systems"):
        check_lengths(Outer(temperature=(1.0, 2.0)), 3)
    with pytest.raises(InputError, match=r"Inner.pressure: got 1 numbers for 2 systems"):
        check_lengths(Outer(inner=Inner(pressure=(1.0,))), 2)
