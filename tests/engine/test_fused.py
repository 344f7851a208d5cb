"""Joining stages with +."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_toys import Count, Idle, Walk, walkers

from adiabat.engine import AbstractCallback, Driver, FusedStage
from adiabat.errors import InputError


def codes(fused):
    return [(sub.code, sub.label) for sub in fused.sub_stages]


def test_plus_joins_stages_in_order():
    a, b, c = (Idle(name=name) for name in "abc")
    assert codes(a + b + c) == codes(a + (b + c)) == [(0, "a"), (1, "b"), (2, "c")]
    assert (a + b).exit_status == 2


def test_codes_of_the_first_are_kept_and_the_others_follow_on():
    first = FusedStage([(3, Idle(name="a")), (7, Idle(name="b"))], entry_status=7)
    joined = first + FusedStage([(2, Idle(name="c")), (4, Idle(name="d"))])
    assert codes(joined) == [(3, "a"), (7, "b"), (8, "c"), (10, "d")]
    assert joined.entry_status == 7


def test_stages_of_one_name_are_told_apart():
    fire, nve = Idle(name="fire"), Idle(name="nve")
    assert [label for _, label in codes(fire + nve + fire + fire)] == ["fire", "nve", "fire-2", "fire-3"]


def test_a_stage_without_steps_is_passed_by():
    stages = [Idle(name="a", n_steps=0), Idle(name="b", n_steps=1), Idle(name="c", n_steps=0), Idle(name="d")]
    fused = FusedStage(list(enumerate(stages)))
    assert fused.first_status == 1
    assert fused.next_status(1) == 3
    assert fused.next_status(3) == 4


def test_the_signature_names_the_stage_of_each_setting():
    fused = Walk(name="train", kind="sr") + Count(name="count")
    assert fused.signature() == {"stages": "train, count", "train.kind": "sr"}


@pytest.mark.parametrize("other", [3, None, "stage"])
def test_only_stages_can_be_joined(other):
    for first in (Idle(name="a"), Idle(name="a") + Idle(name="b")):
        with pytest.raises(TypeError, match="only stages can be joined"):
            first + other


@pytest.mark.parametrize("pairs", [[], [(1, Idle(name="a")), (0, Idle(name="b"))], [(-1, Idle(name="a"))]])
def test_codes_that_do_not_increase_are_refused(pairs):
    with pytest.raises(InputError, match="codes are"):
        FusedStage(pairs)


def test_statuses_that_fit_no_sub_stage_are_refused():
    with pytest.raises(InputError, match="exit_status is 1"):
        FusedStage([(0, Idle(name="a")), (1, Idle(name="b"))], exit_status=1)
    with pytest.raises(InputError, match="entry_status is 5"):
        FusedStage([(0, Idle(name="a"))], entry_status=5)


def test_a_stage_is_announced_when_it_has_been_entered_and_not_before():
    """C18: what `init` computes is finished, and timed, before anybody is told."""

    class Laborious(Walk):
        def init(self, state, keys):
            x = jax.lax.fori_loop(0, 3000, lambda _, x: jnp.sin(x) + 1e-3, jnp.ones((300, 300)))
            systems, own = super().init(state, keys)
            return {**systems, "x": systems["x"] + 0 * x.sum().astype(jnp.float32)}, own

    ready = []

    class Look(AbstractCallback):
        def on_event(self, kind, message, driver):
            if kind == "stage_entered":
                ready.append(all(leaf.is_ready() for leaf in jax.tree.leaves(driver.state.systems)))

    Driver(Laborious(name="slow", n_steps=1), systems=walkers(), callbacks=[Look()]).run()
    assert ready == [True]


@dataclass(frozen=True)
class Keyed(Count):
    """Keeps a random key for each system."""

    def init(self, state, keys):
        return state.systems, {"key": keys}


@pytest.mark.parametrize("n_systems", [1, 3])
def test_private_rows_may_be_random_keys(n_systems):
    stage = Keyed(name="one", n_steps=2) + Keyed(name="other", n_steps=3)
    driver = Driver(stage, systems={"n": np.zeros(n_systems, np.int32)})
    driver.run(3)
    keys = jax.random.key_data(driver.state.own["other"]["key"])
    assert len(np.unique(keys, axis=0)) == n_systems
    driver.run()
    np.testing.assert_array_equal(driver.state.systems["n"], 5)
