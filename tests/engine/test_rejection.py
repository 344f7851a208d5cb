"""Steps whose result is not finite, or that a callback does not want, are drawn anew, counted, and given up."""

import numpy as np
import pytest
from engine_toys import Fragile, Notes, Rows, Walk, assert_same_state, walkers

from adiabat.engine import AbstractCallback, Driver
from adiabat.errors import NumericalError


class Rejects(AbstractCallback):
    """Rejects chosen steps for the first so many attempts."""

    def __init__(self, at, times=1, answer=True):
        self.at, self.times, self.answer = at, times, answer
        self.energies = []

    def on_compute_update_end(self, step, log_data, driver):
        if step in self.at:
            self.energies.append(float(driver.loss[0]))
        return self.answer if step in self.at and driver.step_attempt < self.times else None


def test_a_rejected_step_is_retried_with_fresh_randomness_and_counted():
    rows = Rows()
    driver = Driver(Fragile(name="f", at=(3, 7), failures=2), systems=walkers(), callbacks=[rows])
    driver.run(10)
    assert driver.step_count == 10
    assert [row["attempt"] for row in rows.rows] == [0, 0, 0, 2, 0, 0, 0, 2, 0, 0]
    # What was not finite in the attempts of a step is counted in the row of the step.
    assert [row["nonfinite_walkers"] for row in rows.rows] == [0, 0, 0, 6, 0, 0, 0, 6, 0, 0]
    assert all(np.isfinite(row["energy"]) for row in rows.rows)
    rejections = [message for kind, message in rows.events if kind == "rejection"]
    assert len(rejections) == 4
    assert rejections[1] == "step 3 (f): attempt 2 of 10 rejected: energy = nan; nonfinite_walkers = 3"


def test_steps_before_a_rejection_are_those_of_a_run_without_one_and_later_ones_differ():
    rows, calm = Rows(), Rows()
    Driver(Fragile(name="f", at=(5,)), systems=walkers(), callbacks=[rows]).run(8)
    Driver(Fragile(name="f"), systems=walkers(), callbacks=[calm]).run(8)
    same = [a["energy"] == b["energy"] for a, b in zip(rows.rows, calm.rows, strict=True)]
    assert same == [True] * 5 + [False] * 3


@pytest.mark.parametrize("every", [1, None])
def test_rejections_do_not_depend_on_how_steps_are_cut_into_programs(every):
    stage = Fragile(name="f", at=(0, 3, 4, 19), failures=3)
    whole = Driver(stage, systems=walkers(2), chunk_seconds=10.0)
    whole.run(30)
    cut = Driver(stage, systems=walkers(2), chunk_seconds=1e-9)
    for _ in cut.loop(30, every=every):
        pass
    assert_same_state(whole.state, cut.state)


def test_a_system_without_a_fault_repeats_its_step_to_the_bit():
    """One of three systems fails at times: the two others do not notice."""
    hit = Driver(Fragile(name="f", at=(2, 5), systems_hit=(1,)), systems=walkers(3))
    calm = Driver(Fragile(name="f"), systems=walkers(3))
    hit.run(8)
    calm.run(8)
    for name in ("x", "parameter"):
        for system in (0, 2):
            np.testing.assert_array_equal(hit.state.systems[name][system], calm.state.systems[name][system])
        assert not np.array_equal(hit.state.systems[name][1], calm.state.systems[name][1])


@pytest.mark.parametrize("split", [False, True])
def test_after_the_last_attempt_the_run_fails_at_the_last_good_state(split):
    rows, notes = Rows(), Notes()
    callbacks = [rows, notes] if split else [rows]
    driver = Driver(Fragile(name="f", at=(4,), failures=99), systems=walkers(), callbacks=callbacks, max_attempts=3)
    with pytest.raises(NumericalError, match=r"step 4 \(f\) failed 3 times.*energy = nan") as raised:
        driver.run(10)
    assert raised.value.exit_code == 3
    assert driver.step_count == 4
    assert all(np.isfinite(x).all() for x in driver.state.systems.values())
    assert [row["step"] for row in rows.rows] == [0, 1, 2, 3]
    if split:
        assert notes.notes[-1] == ("on_run_error", 4)


@pytest.mark.parametrize("answer", [True, np.bool_(True), 1])
def test_a_callback_that_returns_something_true_rejects_the_step(answer):
    rejects, rows = Rejects(at=(1,), times=2, answer=answer), Rows()
    driver = Driver(Walk(name="walk"), systems=walkers(), callbacks=[rejects, rows])
    driver.run(3)
    assert [row["attempt"] for row in rows.rows] == [0, 2, 0]
    assert len(set(rejects.energies)) == 3, "every attempt draws anew"
    reasons = [message for kind, message in rows.events if kind == "rejection"]
    assert reasons[0].endswith("attempt 1 of 10 rejected: Rejects")


def test_a_callback_that_always_rejects_ends_the_run_and_is_named():
    with pytest.raises(NumericalError, match=r"step 1 \(walk\) failed 4 times, the last time because Rejects"):
        Driver(Walk(name="walk"), systems=walkers(), callbacks=[Rejects(at=(1,), times=99)], max_attempts=4).run(5)


def test_a_rejected_step_starts_again_from_its_first_hook():
    notes = Notes()
    driver = Driver(Walk(name="walk"), systems=walkers(), callbacks=[notes, Rejects(at=(1,))])
    driver.run(2)
    starts = [step for method, step in notes.notes if method == "on_step_start"]
    updates = [step for method, step in notes.notes if method == "before_parameter_update"]
    assert starts == [0, 1, 1]
    assert updates == [0, 1]


def test_what_a_hook_did_to_the_state_of_a_rejected_attempt_is_undone():
    class Shifts(AbstractCallback):
        def on_step_start(self, step, log_data, driver):
            parameter = driver.state.systems["parameter"] + 100.0
            driver.state = driver.state.replace(systems={**driver.state.systems, "parameter": parameter})

    for stage in (Fragile(name="f", rate=0.0), Fragile(name="f", rate=0.0, at=(1,), failures=3)):
        driver = Driver(stage, systems=walkers(), callbacks=[Shifts()])
        driver.run(2)
        assert float(driver.state.systems["parameter"][0]) == 201.0


def test_a_result_that_turns_bad_in_the_last_phase_is_rejected_too():
    import jax.numpy as jnp

    class Late(Walk):
        def post_update(self, state):
            state = super().post_update(state)
            bad = (state.clock.stage_age == 2) & (state.clock.attempt == 0)
            parameter = jnp.where(bad, jnp.inf, state.systems["parameter"])
            systems = {**state.systems, "parameter": parameter}
            return state.replace(systems=systems, rejected=~jnp.isfinite(parameter))

    for callbacks in ([], [Notes()]):
        rows = Rows()
        driver = Driver(Late(name="late"), systems=walkers(), callbacks=[*callbacks, rows])
        driver.run(5)
        assert [row["attempt"] for row in rows.rows] == [0, 0, 1, 0, 0]
        assert np.isfinite(driver.state.systems["parameter"]).all()


def test_by_hand_a_rejected_step_cannot_be_committed_but_tried_again():
    driver = Driver(Fragile(name="f", at=(0,)), systems=walkers())
    driver.reset_step()
    driver.compute_loss_and_update()
    with pytest.raises(NumericalError, match="step 0 is rejected: energy = nan"):
        driver.update_parameters()
    driver.reset_step()
    assert driver.step_attempt == 1
    driver.compute_loss_and_update()
    driver.update_parameters()
    assert driver.step_count == 1


def test_a_stage_that_counts_nothing_keeps_its_rows_beside_one_that_does():
    """Two systems, in a sub-stage each, when a step of one of them is rejected."""

    class SecondIsReady:
        frequency = 1

        def evaluate(self, state):
            return np.array([False, True])

    rows = Rows()
    stage = Fragile(name="fragile", at=(3,), n_steps=6, convergence=SecondIsReady()) + Walk(name="calm", n_steps=6)
    Driver(stage, systems=walkers(2), callbacks=[rows]).run()
    counted = {row["system"]: row["nonfinite_walkers"] for row in rows.rows if row.get("nonfinite_walkers")}
    assert counted == {0: 3}
    assert all("nonfinite_walkers" not in row for row in rows.rows if row["stage"] == "calm")
