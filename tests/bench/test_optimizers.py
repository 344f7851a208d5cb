"""The comparison of optimizers: what is run and what is not, and what its tables say of made-up runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench import __main__ as command_line
from bench import optimizers
from bench.optimizer_contestants import CONTESTANTS, PLAN
from bench.optimizer_courses import (
    Training,
    Value,
    at_seconds,
    at_steps,
    ladder,
    over_seeds,
    read_training,
    running_mean,
)
from bench.optimizer_plot import plot
from bench.optimizer_runs import (
    FAILED,
    FINISHED,
    NOT_RUN,
    OTHER_SETTINGS,
    UNFINISHED,
    Ended,
    Trial,
    run_all,
    run_python,
)
from bench.optimizer_table import BEGIN, END, Outcome, insert, tables

EXACT = -14.66736
INTERRUPTED = 75
STATUS = {0: "finished", INTERRUPTED: "stopped"}


class FakeRuns:
    """In place of `adiabat energy`: each start trains for some steps of a second each and ends with the next code."""

    def __init__(self, *codes, steps=10, said="adiabat: alas"):
        self.codes, self.steps, self.said, self.commands = list(codes), steps, said, []

    def __call__(self, words):
        self.commands.append(tuple(words))
        code = self.codes.pop(0) if self.codes else 0
        folder = Path(words[words.index("--out") + 1])
        if code != 2:  # adiabat refuses bad input without a trace
            train(folder, read_training(folder).steps + self.steps)
            summarise(folder, STATUS.get(code, "failed"))
        return Ended(code, self.said)


def train(folder, steps):
    rows = [f"{n},train,{EXACT + 1.0 / (n + 1)},1.0\n" for n in range(steps)]
    (folder / "metrics").mkdir(parents=True, exist_ok=True)
    (folder / "metrics" / "train.csv").write_text("".join(["step,stage,energy,seconds\n", *rows]))


def summarise(folder, status, above=0.5):
    numbers = {"exact_energy": EXACT, "energy": EXACT + 1e-3 * above, "energy_error": 1e-4}
    versions = {"adiabat": "not installed", "jax": "0.9.2", "devices": "1 cpu"}
    (folder / "summary.json").write_text(json.dumps({"status": status, "versions": versions, **numbers}))


def training(*above, seconds=None):
    energy = EXACT + 1e-3 * np.array(above, float)
    return Training(energy, np.ones(len(energy)) if seconds is None else np.array(seconds, float))


@pytest.fixture
def trial(tmp_path):
    return Trial("SPRING", "Be", 0, tmp_path)


@pytest.fixture
def other(tmp_path):
    return Trial("Adam", "Be", 0, tmp_path)


# ------------------------------------------------------------------------------------------ what is run
def test_a_finished_run_is_never_repeated(trial, other):
    run_all([trial], run=FakeRuns())
    assert (trial.state, other.state) == (FINISHED, NOT_RUN)
    again = FakeRuns()
    run_all([trial, other], run=again, retry=True)
    assert [words[words.index("--out") + 1] for words in again.commands] == [str(other.folder)]


def test_an_interruption_ends_everything_and_the_same_command_goes_on(trial, other):
    runs = FakeRuns(INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        run_all([trial, other], run=runs)
    assert (trial.state, other.state) == (UNFINISHED, NOT_RUN)
    run_all([trial, other], run=runs)
    assert (trial.state, other.state) == (FINISHED, FINISHED)
    assert runs.commands == [trial.command, trial.command, other.command]


@pytest.mark.parametrize("code", [1, 2, 3, 74, -9])
def test_a_failed_run_says_why_stops_nothing_and_is_tried_again_only_when_told(trial, other, code):
    runs = FakeRuns(code)
    run_all([trial, other], run=runs)
    assert (trial.state, other.state) == (FAILED, FINISHED)
    assert "adiabat: alas" in Outcome.of(trial).failure
    run_all([trial, other], run=runs)
    assert len(runs.commands) == 2
    run_all([trial, other], run=runs, retry=True)
    assert (trial.state, len(runs.commands)) == (FINISHED, 3)
    assert not Outcome.of(trial).failure


def test_the_time_allowed_counts_over_all_starts(trial):
    runs = FakeRuns(INTERRUPTED, INTERRUPTED, INTERRUPTED, steps=40)
    run_all([trial], run=runs, hours=100 / 3600)
    limits = [words[words.index("--time-limit") + 1] for words in runs.commands]
    assert limits == ["100.0s", "60.0s", "20.0s"]
    assert trial.state == UNFINISHED
    run_all([trial], run=runs, hours=100 / 3600)
    assert len(runs.commands) == 3, "its time is over"
    run_all([trial], run=runs)
    assert trial.state == FINISHED


def test_the_last_seconds_allowed_are_not_worth_another_start(trial):
    runs = FakeRuns(INTERRUPTED, INTERRUPTED, steps=99)
    run_all([trial], run=runs, hours=100 / 3600)
    assert (trial.state, len(runs.commands)) == (UNFINISHED, 1)


def test_the_time_allowed_is_for_training_and_not_for_evaluation(trial):
    def run(words):
        ended = runs(words)
        (trial.folder / "checkpoints").mkdir(exist_ok=True)
        (trial.folder / "checkpoints" / "end-of-train-step-000000200.npz").touch()
        return ended

    runs = FakeRuns(INTERRUPTED, steps=200)
    run_all([trial], run=run, hours=100 / 3600)
    assert ["--time-limit" in words for words in runs.commands] == [True, False]
    assert trial.state == FINISHED


def test_a_run_that_makes_no_step_in_the_time_allowed_is_not_started_for_ever(trial):
    runs = FakeRuns(INTERRUPTED, INTERRUPTED, steps=0)
    run_all([trial], run=runs, hours=0.01)
    assert (trial.state, len(runs.commands)) == (FAILED, 1)


def test_a_run_that_another_process_works_on_has_not_failed(trial):
    run_all([trial], run=FakeRuns(2, said="adiabat: the folder is in use by another process (pid 1)"))
    assert trial.state == NOT_RUN


def test_a_run_made_with_other_settings_is_neither_shown_nor_touched(trial, tmp_path):
    run_all([trial], run=FakeRuns())
    changed = Trial(trial.contestant, trial.system, trial.seed, tmp_path, ("--train.iterations", "5"))
    runs = FakeRuns()
    run_all([changed], run=runs, retry=True)
    outcome = Outcome.of(changed)
    assert (outcome.state, outcome.final, outcome.training.steps) == (OTHER_SETTINGS, None, 0)
    assert not runs.commands


def test_being_stopped_lets_the_run_save_its_state_first(trial, tmp_path):
    saved = tmp_path / "saved"
    # Asks its parent to stop as soon as it is ready to be stopped itself.
    script = f"""
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), pathlib.Path({str(saved)!r}).touch(), sys.exit(75)))
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(60)
"""
    with pytest.raises(KeyboardInterrupt):
        run_all([trial], run=lambda words: run_python(("-c", script)))
    assert saved.exists()
    assert trial.state != FAILED


def test_a_process_ends_with_its_code_and_its_last_words_or_by_a_signal():
    assert run_python(("-c", "raise SystemExit('first\\nlast')")) == (1, "last")
    assert run_python(("-c", "import os; os.kill(os.getpid(), 9)")) == (-9, "ended by SIGKILL")


# ------------------------------------------------------------------------------------------ what is measured
def test_a_row_cut_short_ends_the_training_that_is_read(trial):
    train(trial.folder, 3)
    with (trial.folder / "metrics" / "train.csv").open("a") as file:
        file.write("3,train,-14.6")
    assert read_training(trial.folder).steps == 3
    assert read_training(trial.folder).total_seconds == 3.0
    assert read_training(trial.folder / "nowhere").steps == 0


@pytest.mark.parametrize(("steps", "mean"), [(100, 89.5), (50, 44.5), (5, 4.0), (1, 0.0)])
def test_an_energy_at_a_step_is_the_mean_of_the_last_fifth_before_it(steps, mean):
    found = at_steps(training(*range(100)), steps, EXACT)
    assert found.mean == pytest.approx(mean)
    assert running_mean(training(*range(100)), [steps], EXACT) == pytest.approx([mean])


def test_there_is_no_energy_at_a_step_not_reached():
    assert at_steps(training(*range(100)), 101, EXACT) is None
    assert np.isnan(running_mean(training(*range(100)), [0, 101], EXACT)).all()


def test_the_error_bar_knows_autocorrelation():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=5000)
    slow = np.convolve(rng.normal(size=5100), np.full(10, 10**-0.5), mode="valid")[:5000]
    independent, correlated = (at_steps(training(*above), 5000, EXACT).error for above in (noise, slow))
    # Of 1000 values, and with ten successive ones worth one; the error bars are good to 10 to 20 %.
    assert independent == pytest.approx(1000**-0.5, rel=0.5)
    assert correlated == pytest.approx(100**-0.5, rel=0.5)


def test_an_energy_at_a_time_is_that_of_the_steps_done_by_then():
    run = training(*np.random.default_rng(0).normal(size=200), seconds=[11, *[1] * 199])
    assert run.steps_after(10.0) == 0
    assert at_seconds(run, 10.0, EXACT) is None, "the first step takes longer"
    assert at_seconds(run, 110.5, EXACT) == at_steps(run, 100, EXACT)
    assert at_seconds(run, 210.0, EXACT) == at_steps(run, 200, EXACT)
    assert at_seconds(run, 210.5, EXACT) is None
    assert run.seconds_a_step == 1.0


def test_seeds_are_combined_by_their_scatter_but_not_more_certain_than_each_is():
    values = [Value(1.0, 0.1), Value(3.0, 0.1), None]
    assert over_seeds(values) == Value(2.0, pytest.approx(1.0), 2)
    assert over_seeds([Value(1.0, 0.3), Value(1.0, 0.4)]) == Value(1.0, pytest.approx(0.25), 2)
    assert over_seeds([Value(1.0, np.nan), Value(3.0, np.nan)]) == Value(2.0, pytest.approx(1.0), 2)
    assert over_seeds([None, Value(3.0, 9.0)]) == Value(3.0, 9.0)
    assert over_seeds([None]) is None
    assert over_seeds(values).text(of=3) == "2.0(1.0) [2 of 3]"
    assert over_seeds(values).text(of=2) == "2.0(1.0)"
    assert Value(8.75624, np.nan).text() == "8.76(?)"


def test_rungs_double_within_the_run():
    assert ladder(50, 800) == [50, 100, 200, 400, 800]
    assert ladder(50, 799) == [50, 100, 200, 400]
    assert ladder(50, 49) == []


# ------------------------------------------------------------------------------------------ what is shown
def cells(text, heading, row):
    """The cells of a row of the table under a heading."""
    table = text.split(heading)[1].split("\n\n")[1].splitlines()
    names = [cell.strip() for cell in table[0].strip("|").split("|")]
    (line,) = [line for line in table if line.startswith(f"| {row} ")]
    return dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True))


def outcome(name, seed, state=FINISHED, steps=100, **more):
    run = training(*([2.0 + seed] * steps))
    final = Value(1.0 + seed, 0.1) if state == FINISHED else None
    return Outcome(name, "Be", seed, state, run, EXACT, final=final, **more)


def test_tables_show_what_was_reached_and_by_how_many():
    text = tables([outcome("SPRING", 0), outcome("SPRING", 1), outcome("Adam", 0), outcome("Adam", 1, UNFINISHED, 60)])
    assert cells(text, "against steps", "SPRING")["step 100"] == "2.50(50)"
    assert cells(text, "against steps", "Adam")["step 50"] == "2.50(50)"
    assert cells(text, "against steps", "Adam")["step 100"] == "2(0) [1 of 2]"
    assert cells(text, "against steps", "Adam")["seconds a step"] == "1"
    assert cells(text, "against seconds", "SPRING")["80 s"] == "2.50(50)"
    assert cells(text, "against seconds", "Adam")["80 s"] == "2(0) [1 of 2]"
    assert cells(text, "Evaluated", "SPRING") == {
        "": "SPRING",
        "seed 0": "1.00(10)",
        "seed 1": "2.00(10)",
        "mean": "1.50(50)",
    }
    assert cells(text, "Evaluated", "Adam")["seed 1"] == "unfinished, 60 steps"


def test_seconds_are_those_of_the_pace_that_was_measured(trial):
    train(trial.folder, 100)
    summarise(trial.folder, "finished")
    trial.note()
    assert cells(tables([Outcome.of(trial)]), "against steps", "SPRING")["seconds a step"] == "1"
    (trial.root / "pace.json").write_text(json.dumps({"Be": {"SPRING": 0.25, "Adam": 0.1}}))
    text = tables([Outcome.of(trial)])
    assert cells(text, "against steps", "SPRING")["seconds a step"] == "0.25"
    assert list(cells(text, "against seconds", "SPRING")) == ["", "10 s", "20 s"]


def test_what_failed_or_is_missing_is_named():
    failed = outcome("LAMB", 0, FAILED, 60, failure="exit code 3: not finite")
    text = tables([outcome("SPRING", 0), failed, outcome("SR", 0, NOT_RUN, 0), outcome("Adam", 0, OTHER_SETTINGS, 0)])
    assert cells(text, "Evaluated", "LAMB")["seed 0"] == "failed, 60 steps"
    assert cells(text, "Evaluated", "SR")["seed 0"] == "not run"
    assert "LAMB on Be, seed 0 failed, exit code 3: not finite" in text
    assert "Not run (seeds): SR on Be (0)." in text
    assert "Adam on Be, seed 0 was made with other settings" in text


def test_the_prose_around_the_table_is_kept(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    insert(page, "new")
    insert(page, "newer")
    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"
    page.write_text(f"{END} {BEGIN}")
    with pytest.raises(ValueError, match="no place"):
        insert(page, "new")


def test_a_picture_is_drawn_of_what_there_is(tmp_path):
    assert not plot(tmp_path / "none.png", [outcome("SPRING", 0, NOT_RUN, 0)])
    assert not (tmp_path / "none.png").exists()
    below = Outcome("Adam", "Be", 0, UNFINISHED, training(*[-1.0] * 60), EXACT)
    assert plot(tmp_path / "one.png", [outcome("SPRING", 0), outcome("SPRING", 1, UNFINISHED, 30), below])
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_a_benchmark_row_has_the_mean_and_says_what_failed(trial, other, tmp_path, capsys):
    run_all([trial, other], run=FakeRuns(0, 3))
    spring, adam, lamb = optimizers.measure(["Be"], [0], ["SPRING", "Adam", "LAMB"], folder=tmp_path, show=True)
    assert spring.value == pytest.approx(0.5)
    assert not spring.missed
    assert "exit code 3: adiabat: alas" in adam.failure
    assert "not run" in lamb.remark
    assert not lamb.missed
    assert "Measured with JAX 0.9.2, 1 cpu with" in capsys.readouterr().out


def test_docs_show_the_whole_plan_and_say_what_is_missing(trial, tmp_path):
    run_all([trial], run=FakeRuns(steps=60))
    page = tmp_path / "docs" / "optimizers.md"
    page.parent.mkdir()
    page.write_text(f"# Title\n\n{BEGIN}\n{END}\n")
    optimizers.write_docs(tmp_path, page, page.parent / "images" / "optimizers.png")
    text = page.read_text()
    assert "](images/optimizers.png)" in text
    assert (page.parent / "images" / "optimizers.png").is_file()
    assert "SPRING on Be (1, 2), " in text
    assert "LAMB on LiH (0, 1, 2)." in text
    assert "Not run at all: N2." in text
    assert list(PLAN) == ["Be", "LiH", "N2"]


def test_the_page_has_a_place_for_the_table_and_the_words_of_every_contestant():
    text = optimizers.PAGE.read_text()
    assert text.index(BEGIN) < text.index(END)
    for name, words in CONTESTANTS.items():
        assert f"| {name} | `{' '.join(words)}` |" in text


def test_runs_of_hours_are_not_begun_unless_asked_for(monkeypatch, capsys):
    begun = []
    fakes = {name: lambda options, name=name: begun.append(name) or [] for name in command_line.BENCHMARKS}
    monkeypatch.setattr(command_line, "BENCHMARKS", fakes)
    monkeypatch.setattr(command_line, "prepare", lambda: None)
    command_line.main([])
    assert begun == ["start_up", "driver_overhead", "step_cost", "optimizer_memory", "time_to_accuracy"]
    command_line.main(["optimizers"])
    assert begun[-1] == "optimizers"
    with pytest.raises(SystemExit):
        command_line.main(["optimizers", "--only", "Spring"])
    assert "no optimizer is called Spring; there is SPRING, SR" in capsys.readouterr().err
