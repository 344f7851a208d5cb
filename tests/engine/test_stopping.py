"""How runs end: gracefully, by an error, by a signal or the clock. Everyone is told exactly once."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from engine_toys import Count, Idle, Notes, Reached, Rows

from adiabat.engine import AbstractCallback, Driver, SignalHandler, StopRun
from adiabat.errors import Interrupted

METHODS = [
    "on_step_start",
    "on_compute_update_start",
    "on_compute_update_end",
    "before_parameter_update",
    "on_step_end",
]


def count(**how):
    return Driver(Count(name="count"), systems={"n": np.zeros(1, np.int32)}, **how)


def value(driver):
    return int(driver.state.systems["n"][0])


@pytest.mark.parametrize("method", METHODS)
def test_stop_run_anywhere_leaves_step_count_and_state_in_step(method):
    """At the end of a step the step counts; before, it does not. The next run continues with no step twice."""
    notes, rows = Notes(raising={(method, 3): StopRun()}), Rows()
    driver = count(callbacks=[notes, rows])
    driver.run(10)
    done = 4 if method == "on_step_end" else 3
    assert driver.step_count == value(driver) == done
    assert [row["step"] for row in rows.rows] == list(range(done))
    assert notes.notes[-1] == ("on_run_end", done)
    notes.raising = {}
    driver.run(2)
    assert driver.step_count == value(driver) == done + 2
    assert [row["step"] for row in rows.rows] == list(range(done + 2))


def test_stop_run_at_the_start_of_a_run_is_graceful():
    notes = Notes(raising={("on_run_start", 0): StopRun()})
    driver = count(callbacks=[notes])
    driver.run(10)
    assert notes.notes == [("on_run_start", 0), ("on_run_end", 0)]


def test_a_subclass_of_stop_run_stops_too():
    class Converged(StopRun):
        pass

    driver = count(callbacks=[Notes(raising={("on_step_end", 1): Converged()})])
    driver.run(10)
    assert driver.step_count == 2


def test_at_the_end_of_the_last_step_every_callback_sees_it_and_the_row_is_logged():
    stopper, late, rows = Notes(raising={("on_step_end", 2): StopRun()}), Notes(order=20), Rows()
    count(callbacks=[stopper, late, rows]).run(10)
    assert ("on_step_end", 2) in late.notes
    assert [row["step"] for row in rows.rows] == [0, 1, 2]


def test_stop_run_of_a_callback_with_frequency_in_a_long_program():
    class Stops(AbstractCallback):
        frequency = 50

        def on_step_end(self, step, log_data, driver):
            if step >= 100:
                raise StopRun

    driver = count(callbacks=[Stops()])
    driver.run(1000)
    assert driver.step_count == value(driver) == 101


def test_on_run_end_reaches_everyone_once_even_if_one_raises():
    first, second, third = (Notes() for _ in range(3))
    first.raising = {("on_run_end", 2): StopRun()}
    second.raising = {("on_run_end", 2): KeyError("mine")}
    with pytest.raises(KeyError, match="mine"):
        count(callbacks=[first, second, third]).run(2)
    for notes in (first, second, third):
        assert [note for note in notes.notes if note[0] in ("on_run_end", "on_run_error")] == [("on_run_end", 2)]


def test_another_exception_calls_on_run_error_instead_and_comes_through():
    first, second = Notes(raising={("on_compute_update_end", 1): ValueError("mine")}), Notes()
    second.raising = {("on_run_error", 1): RuntimeError("not this one")}
    third = Notes()
    driver = count(callbacks=[first, second, third])
    with pytest.raises(ValueError, match="mine"):
        driver.run(5)
    for notes in (first, second, third):
        assert notes.notes[-1] == ("on_run_error", 1)
        assert "on_run_end" not in [method for method, _ in notes.notes]
    assert driver.step_count == value(driver) == 1


def test_an_abandoned_loop_ends_gracefully():
    notes = Notes()
    driver = count(callbacks=[notes])
    for step, _ in driver.loop():
        if step == 4:
            break
    assert notes.notes[-1] == ("on_run_end", 5)
    assert driver.step_count == value(driver) == 5
    driver.run(1)
    assert value(driver) == 6


def test_on_converge_comes_after_the_end_of_the_step_once():
    notes = Notes()
    stage = Count(name="a", by=-1, convergence=Reached("n", 3)) + Count(name="b", n_steps=1)
    Driver(stage, systems={"n": np.array([5], np.int32)}, callbacks=[notes]).run()
    converged = notes.notes.index(("on_converge", 2))
    assert notes.notes[converged - 1] == ("on_step_end", 2)
    assert [method for method, _ in notes.notes].count("on_converge") == 1


def test_a_budget_that_ends_is_no_convergence():
    notes = Notes()
    Driver(Count(name="a", n_steps=2), systems={"n": np.zeros(1, np.int32)}, callbacks=[notes]).run()
    assert "on_converge" not in [method for method, _ in notes.notes]


def test_the_time_limit_interrupts_gracefully():
    notes, rows = Notes(), Rows()
    driver = count(callbacks=[notes, rows], time_limit=0.0)
    with pytest.raises(Interrupted, match="time limit of 0 s") as raised:
        driver.run()
    assert raised.value.exit_code == 75
    assert notes.notes[-1] == ("on_run_end", 0)
    assert rows.events[-1][0] == "interrupted"


def test_the_time_limit_is_kept_in_the_middle_of_a_run():
    driver = Driver(Idle(name="idle"))
    driver.run(1)
    driver.time_limit = 0.3
    with pytest.raises(Interrupted):
        driver.run()
    assert driver.step_count > 100


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_the_program_at_hand(number):
    class Kills(AbstractCallback):
        frequency = 100

        def on_step_end(self, step, log_data, driver):
            if step == 300:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with SignalHandler() as signals:
        driver = count(callbacks=[Kills()], signals=signals)
        with pytest.raises(Interrupted, match=signal.Signals(number).name):
            driver.run()
    assert driver.step_count == value(driver) == 301
    assert signal.getsignal(number) is before


def test_a_second_interrupt_stops_at_once():
    class Kills(AbstractCallback):
        def on_step_start(self, step, log_data, driver):
            if step == 2:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                raise AssertionError("never reached")

    notes = Notes()
    with SignalHandler() as signals:
        driver = count(callbacks=[notes, Kills()], signals=signals)
        with pytest.raises(KeyboardInterrupt):
            driver.run()
    assert notes.notes[-1] == ("on_run_error", 2)


def test_outside_the_main_thread_no_handler_is_installed():
    import threading

    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def other():
        with SignalHandler():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_process_that_is_busy_elsewhere_still_stops_at_the_second_interrupt():
    """Python runs handlers only between its own instructions; a compilation has none for half a minute."""
    script = """
import hashlib, signal
from adiabat.engine import SignalHandler
with SignalHandler():
    print("busy", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "busy\n"
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert process.wait(timeout=30) == 75
    finally:
        process.kill()
        process.communicate()


def test_stop_run_from_those_who_are_told_of_rows_or_events():
    class Stops(AbstractCallback):
        def __init__(self, kind):
            self.kind = kind

        def on_rows(self, rows, driver):
            if self.kind == "rows":
                raise StopRun

        def on_event(self, kind, message, driver):
            if kind == self.kind:
                raise StopRun

    for kind in ("rows", "stage_left", "stage_entered"):
        notes = Notes()
        stage = Count(name="a", n_steps=2) + Count(name="b", n_steps=2)
        driver = Driver(stage, systems={"n": np.zeros(1, np.int32)}, callbacks=[Stops(kind), notes])
        runs = 0
        while not driver.done:
            driver.run()
            runs += 1
        assert value(driver) == driver.step_count == 4
        assert runs > 1 or kind == "stage_left"
        assert [method for method, _ in notes.notes].count("on_run_end") == runs


def test_whoever_loops_sees_the_step_at_whose_end_the_run_was_stopped():
    driver = count(callbacks=[Notes(raising={("on_step_end", 2): StopRun()})])
    assert [step for step, _ in driver.loop(10)] == [0, 1, 2]
