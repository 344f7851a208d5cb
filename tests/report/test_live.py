"""What a run says while it runs."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from adiabat.report import LiveProgress
from adiabat.report.progress import StageProgress, duration

STAGES = [("pretrain", 100), ("train", 5000), ("evaluate", None)]
DRIVER = SimpleNamespace(
    stage=SimpleNamespace(
        sub_stages=[
            SimpleNamespace(label=name, stage=SimpleNamespace(n_steps=n, convergence=None)) for name, n in STAGES
        ]
    )
)


def row(stage: str, stage_step: int, **metrics: float) -> dict:
    return {"step": 100 + stage_step, "stage": stage, "stage_step": stage_step, "seconds": 0.5, **metrics}


def energy_row(stage: str, stage_step: int, energy: float = -8.07) -> dict:
    return row(stage, stage_step, energy=energy, energy_variance=0.0213, acceptance=0.527, nonfinite=1)


def run(console: Console, **options: Any) -> str:
    """All that is written in a run that compiles, pretrains and begins to train."""
    live = LiveProgress(console, **options)
    live.on_run_start(0, DRIVER)
    live.on_event("compile_started", "compiling train", DRIVER)
    live.on_event("compile_finished", "compiled train in 12.3 s", DRIVER)
    live.on_rows([row("pretrain", 99, loss=0.0123)], DRIVER)
    live.on_event("stage_left", "pretrain finished", DRIVER)
    live.on_event("checkpoint", "checkpoint of step 100 written", DRIVER)
    live.on_rows([energy_row("train", n) for n in range(3)], DRIVER)
    live.on_rows([energy_row("train", n) for n in range(3, 6)], DRIVER)
    live.on_run_end(6, DRIVER)
    return console.file.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    assert run(Console(file=io.StringIO()), interval=0.0).splitlines() == [
        "compiling train ...",
        "compiled train in 12.3 s",
        "pretrain 100/100  loss 0.0123",
        "train 3/5000  41:38 left  energy -8.07(0)  variance 0.0213  acceptance 0.53  walkers lost 3",
        "train 6/5000  41:37 left  energy -8.07(0)  variance 0.0213  acceptance 0.53  walkers lost 6",
    ]


def test_plain_lines_come_every_few_seconds():
    lines = run(Console(file=io.StringIO()), interval=1000.0).splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["pretrain", "100/100"], ["train", "6/5000"]]


def test_checkpoints_are_told_on_request():
    assert "checkpoint" in run(Console(file=io.StringIO()), verbose=True)
    assert "checkpoint" not in run(Console(file=io.StringIO()))


def test_a_terminal_has_one_live_line():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    live = LiveProgress(console)
    live.on_run_start(0, DRIVER)
    live.on_event("compile_started", "compiling evaluate", DRIVER)  # in a thread, while training goes on
    live.on_rows([energy_row("train", n) for n in range(3)], DRIVER)
    drawn = io.StringIO()
    Console(file=drawn, width=160).print(live._render())
    live.on_run_error(3, RuntimeError(), DRIVER)

    (line,) = drawn.getvalue().splitlines()
    for part in ("train 3/5000", "left", "energy", "variance 0.0213", "compiling evaluate 0 s"):
        assert part in line
    assert console.file.getvalue().rstrip().endswith("walkers lost 3")


def test_energy_of_training_is_that_of_the_last_steps():
    train = StageProgress("train", None, window=100)
    for n in range(1000):
        train.add(energy_row("train", n, -7.0 if n < 900 else -8.0))
    assert "energy -8(0)" in train.parts()


def test_energy_of_evaluation_is_that_of_all_steps():
    noise = np.random.default_rng(0).standard_normal(4096)
    evaluate = StageProgress("evaluate", None, window=None)
    for n in range(4096):
        evaluate.add(energy_row("evaluate", n, -8.0 + noise[n]))
    (energy,) = [part for part in evaluate.parts() if part.startswith("energy")]
    value, error = energy.removeprefix("energy ").rstrip(")").split("(")
    assert float(value) == pytest.approx(-8.0 + noise.mean(), abs=5e-4)
    assert float(error) == pytest.approx(16, abs=4)  # 1/64 in units of the last digit shown
    assert len(evaluate._energies) <= 256


def test_the_time_left_of_an_evaluation_is_that_until_its_error_bar_is_small_enough():
    """It falls with the root of the steps, however many would be allowed."""
    noise = np.random.default_rng(0).standard_normal(400)
    evaluate = StageProgress("evaluate", 1_000_000, window=None, target=0.01)
    for n in range(400):
        evaluate.add(energy_row("evaluate", n, -8.0 + noise[n]))
    step, left, *_ = evaluate.parts()
    assert step == "evaluate 400"
    minutes, seconds = map(int, left.removesuffix(" left").split(":")[-2:])
    error = np.std(noise) / 20
    hours = left.count(":") - 1
    total = (hours and int(left.split(":")[0])) * 3600 + minutes * 60 + seconds
    assert total == pytest.approx(0.5 * 400 * ((error / 0.01) ** 2 - 1), rel=0.4)


@pytest.mark.parametrize(("seconds", "text"), [(6.6, "0:07"), (754, "12:34"), (11045, "3:04:05"), (-1, "0:00")])
def test_duration(seconds, text):
    assert duration(float(seconds)) == text


def test_rows_that_come_after_a_stage_was_left_join_its_average():
    out = io.StringIO()
    live = LiveProgress(Console(file=out, width=200), interval=1e9)
    live.on_run_start(0, DRIVER)
    energies = -8.07 + 0.01 * np.random.default_rng(0).standard_normal(60)
    live.on_rows([energy_row("train", step, energy) for step, energy in enumerate(energies)], DRIVER)
    live.on_event("stage_left", "train left after 61 steps", DRIVER)
    live.on_rows([energy_row("train", 60)], DRIVER)
    live.on_run_end(160, DRIVER)
    last = out.getvalue().splitlines()[-1]
    assert last.startswith("train")
    assert "(?)" not in last


def test_fallbacks_of_the_solver_are_shown_where_there_were_any():
    train = StageProgress("train", None, window=100)
    for count in (0.0, 2.0):
        train.add(row("train", 1, solver_fallbacks=count))
        assert ("solver fell back 2 times" in train.parts()) == (count > 0)
