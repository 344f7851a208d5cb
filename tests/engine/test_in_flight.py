"""Systems that end at their own time, come and go, fail alone, and are all accounted for."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_toys import Notes, Rows, assert_same_state
from flight_toys import Below, Countdown, Queue, Shelf, numbers

from adiabat.engine import Checkpoints, Driver, InFlight, Ledger, Outcome
from adiabat.engine.program import StepProgram

VALUES = [3.2, 17.0, 9.9, 1.1, 30.4, 5.5, 12.3, 0.2, 21.7, 8.8, 2.4, 14.6, 7.1, 26.0, 4.3, 19.9]


def fly(stage, values=VALUES, slots=4, shelf=None, **settings):
    """All of these countdowns in flight; the shelf they end on, and the driver."""
    shelf = Shelf() if shelf is None else shelf
    driver = Driver(stage, in_flight=InFlight(Queue(values, slots), shelf), **settings)
    driver.run()
    return shelf, driver


def test_each_system_rests_from_the_step_at_which_it_converged():
    values = VALUES[:8]
    whole = Driver(Countdown(name="count", convergence=Below()), systems=numbers(*values))
    state = whole.run()
    assert whole.done
    for i, value in enumerate(values):
        # Its neighbours may go on; system i must be found as at its own last step.
        queue, shelf = Queue(values, 1), Shelf()
        queue.next = i
        alone = Driver(Countdown(name="count", convergence=Below()), in_flight=InFlight(queue, shelf))
        alone.run()
        row = shelf.found[i]
        assert row[2] == int(state.clock.age[i]), value
        assert row[4] == {name: float(x[i]) for name, x in state.systems.items()}


def test_who_has_converged_on_entering_takes_no_step():
    shelf, _ = fly(Countdown(name="count", convergence=Below()), [0.2, 5.0, 0.1, 0.3])
    assert [shelf.found[i][2] for i in (0, 2, 3)] == [0, 0, 0]
    assert shelf.found[0][4] == {"x": 0.2, "y": float(np.sin(0.2))}
    assert shelf.found[1][2] > 3


def test_rows_name_the_system_and_stop_with_it():
    rows = Rows()
    shelf, _ = fly(Countdown(name="count", convergence=Below()), slots=3, callbacks=[rows])
    for i in range(len(VALUES)):
        steps = [row["stage_step"] for row in rows.rows if row["system"] == i]
        assert steps == list(range(shelf.found[i][2]))


@pytest.mark.parametrize("slots", [1, 2, 5, 16, 40])
def test_results_do_not_depend_on_the_number_of_slots(slots):
    stage = Countdown(name="first", n_steps=3) + Countdown(name="second", convergence=Below(), n_steps=12, by=1.5)
    expected, _ = fly(stage, slots=4)
    found, driver = fly(stage, slots=slots)
    assert found.found == expected.found
    assert driver.in_flight.ledger.counts == {"queued": 0, "active": 0, "done": 13, "unfinished": 3, "failed": 0}
    assert {row[1] for row in found.found.values()} == {"second"}


def test_a_budget_that_ends_before_convergence_leaves_a_system_unfinished():
    shelf, driver = fly(Countdown(name="count", convergence=Below(), n_steps=5))
    ledger = driver.in_flight.ledger
    for i, value in enumerate(VALUES):
        assert (shelf.found[i][0] == "done") == (shelf.found[i][2] < 5 or shelf.found[i][4]["x"] <= 0.5), value
        assert ("not converged within 5 steps" in ledger.reason(i)) == (ledger.outcome[i] == Outcome.UNFINISHED)


@pytest.mark.parametrize("slots", [1, 4])
def test_a_system_that_fails_leaves_the_others_alone_and_says_why(slots):
    sound, _ = fly(Countdown(name="count", convergence=Below()))
    hurt, driver = fly(Countdown(name="count", convergence=Below(), fragile=True), slots=slots)
    ledger = driver.in_flight.ledger
    failed = [i for i, row in hurt.found.items() if row[0] == "failed"]
    assert failed
    assert ledger.counts["failed"] == len(failed)
    for i in range(len(VALUES)):
        if i in failed:
            assert ledger.reason(i).startswith("y = nan at step")
            assert np.isfinite(hurt.found[i][4]["y"])  # as it was before the step that failed
        else:
            assert hurt.found[i] == sound.found[i]


def test_what_is_refused_at_the_door_is_accounted_for():
    shelf, driver = fly(Countdown(name="count", convergence=Below()), [3.0, -1.0, 2.0, -5.0])
    assert sorted(shelf.found) == [0, 2]
    assert driver.in_flight.ledger.counts["failed"] == 2
    assert driver.in_flight.ledger.reason(3) == "negative"


def test_a_full_outlet_stops_the_run_and_nothing_is_lost(tmp_path):
    expected, _ = fly(Countdown(name="count", convergence=Below()))
    shelf = Shelf(room=5)
    _, driver = fly(Countdown(name="count", convergence=Below()), shelf=shelf, checkpoints=tmp_path)
    assert len(shelf.found) == shelf.n_synced == 5
    assert not driver.done
    shelf.room = 100
    resumed = Driver(
        Countdown(name="count", convergence=Below()), in_flight=InFlight(Queue(VALUES, 4), shelf), checkpoints=tmp_path
    )
    resumed.restore()
    resumed.run()
    assert shelf.found == expected.found
    assert resumed.in_flight.ledger.counts["done"] == len(VALUES)


@pytest.mark.parametrize("stop", [1, 7, 20, 33])
def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path, stop):
    stage = Countdown(name="first", n_steps=4) + Countdown(name="second", convergence=Below(), fragile=True)
    expected, whole = fly(stage)
    shelf = Shelf()

    def driver():
        flight = InFlight(Queue(VALUES, 4), shelf)
        return Driver(stage, in_flight=flight, checkpoints=Checkpoints(tmp_path, step_interval=5, time_interval=0.0))

    first = driver()
    first.run(stop)
    second = driver()
    assert second.restore() == first.step_count
    second.run()
    assert shelf.found == expected.found
    assert_same_state(second.state, whole.state)
    assert second.in_flight.ledger.counts == whole.in_flight.ledger.counts


@pytest.mark.parametrize(("shared", "evaluations"), [("sine", 1), (None, 3)])
def test_sub_stages_that_share_their_compute_run_it_once_a_step(shared, evaluations):
    a, b, c = (Countdown(name=name, n_steps=3, shared=shared) for name in "abc")
    driver = Driver(a + b + c, systems=numbers(3.0, 4.0))
    driver.run(1)
    rows = {label: driver.own("a") for label in "abc"}
    with jax.enable_x64(True):
        program = StepProgram(driver.stage.sub_stages, driver.state.replace(own=rows, metrics={}))
        traced = jax.make_jaxpr(program.sample_and_compute)(driver.state.replace(own=rows, metrics={}), 0)
    assert str(traced).count("= sin ") == evaluations


def test_who_changes_to_a_sub_stage_of_the_same_compute_is_not_primed_again():
    """Priming puts the sine of a number into y; between sub-stages of one compute y is that already."""
    primed = []

    @dataclass(frozen=True)
    class Noted(Countdown):
        def prime(self, systems):
            primed.append(self.name)
            return super().prime(systems)

    for shared, expected in (("sine", {"a"}), (None, {"a", "b"})):
        primed.clear()
        a, b = (Noted(name=name, n_steps=2, shared=shared) for name in "ab")
        Driver(a + b, systems=numbers(3.0, 4.0, 5.0)).run()
        assert set(primed) == expected


def test_the_ledger_refuses_to_lose_or_double_anyone():
    ledger = Ledger(3)
    ledger.admit([0, 2])
    with pytest.raises(RuntimeError, match="system 2 is active and cannot be admitted"):
        ledger.admit([2])
    with pytest.raises(RuntimeError, match="system 1 is queued and cannot be closed"):
        ledger.close(1, Outcome.DONE, steps=1, stage="fire")
    with pytest.raises(RuntimeError, match=r"systems \[0\] are in the batch, and \[0, 2\]"):
        ledger.check([0])
    ledger.close(0, Outcome.FAILED, steps=7, stage="fire", reason="energy = nan")
    again = Ledger(3)
    again.restore(ledger.arrays())
    assert again.counts == ledger.counts == {"queued": 1, "active": 1, "done": 0, "unfinished": 0, "failed": 1}
    assert (again.stage(0), again.reason(0), again.stage(2), int(again.steps[0])) == ("fire", "energy = nan", "", 7)


@dataclass(frozen=True)
class Hoard(Countdown):
    """Remembers its numbers, in an array that is too small for long countdowns."""

    def compute(self, state):
        state = super().compute(state)
        kept, count = state.systems["kept"], state.systems["count"]
        inside = jnp.arange(kept.shape[1]) == count[:, None]
        kept = jnp.where(inside, state.systems["x"][:, None], kept)
        return state.replace(systems={**state.systems, "kept": kept, "count": count + 1})

    def outgrown(self, systems):
        return systems["count"] > systems["kept"].shape[1]

    def grow(self, systems, outgrown):
        more = int(np.max(outgrown["count"])) + 3 - systems["kept"].shape[1]
        return {**systems, "kept": np.pad(np.asarray(systems["kept"]), ((0, 0), (0, more)))}


@dataclass(frozen=True)
class Cramped(Hoard):
    """One that cannot be given more room."""

    def grow(self, systems, outgrown):
        return systems


@pytest.mark.parametrize("looked_into", [False, True])
def test_who_needs_more_room_than_there_can_be_fails_alone(looked_into):
    systems = {**numbers(*VALUES[:5]), "kept": np.zeros((5, 12)), "count": np.zeros(5, np.int32)}
    rows, look = Rows(), Notes()
    driver = Driver(
        Cramped(name="count", convergence=Below()), systems=systems, callbacks=[rows, look] if looked_into else [rows]
    )
    state = driver.run()
    failed = [value > 12 for value in VALUES[:5]]
    assert (np.asarray(state.clock.status) < 0).tolist() == failed
    assert state.clock.age[1] == 12
    assert sum("more room" in message for kind, message in rows.events if kind == "failure") == sum(failed)


@pytest.mark.parametrize("looked_into", [False, True])
def test_a_step_that_does_not_fit_is_done_again_in_larger_arrays(looked_into):
    def hoard(room):
        systems = {**numbers(*VALUES[:5]), "kept": np.zeros((5, room)), "count": np.zeros(5, np.int32)}
        rows, look = Rows(), Notes()
        driver = Driver(
            Hoard(name="count", convergence=Below()), systems=systems, callbacks=[rows, look] if looked_into else [rows]
        )
        return driver.run(), rows

    (small, told), (large, _) = hoard(4), hoard(32)
    assert small.systems["kept"].shape == (5, 32)
    np.testing.assert_array_equal(small.systems["kept"], large.systems["kept"])
    assert_same_state(small, large)
    assert [kind for kind, _ in told.events].count("grown") == 7
