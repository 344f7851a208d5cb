"""Energy runs as a user makes them, on the smallest molecules: end to end, with everything they leave behind."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import adiabat
from adiabat.cli.main import main
from adiabat.config import ConfigManager, from_keywords
from adiabat.electrons.energy import run_energy
from adiabat.engine import AbstractCallback, Checkpoints, StopRun
from adiabat.errors import InputError, Interrupted, NumericalError

TINY = {
    "walkers": 64,
    "wavefunction": {"one_electron_width": 4, "pair_width": 2, "layers": 1},
    "train": {"iterations": 30, "burn_in": 5},
    "evaluate": {"iterations": 40, "burn_in": 5, "error": None},
}
FLAGS = [
    *("--walkers", "64", "--wavefunction.one_electron_width", "4", "--wavefunction.pair_width", "2"),
    *("--wavefunction.layers", "1", "--train.iterations", "30", "--train.burn_in", "5"),
    *("--evaluate.iterations", "40", "--evaluate.burn_in", "5", "--evaluate.error", "null"),
]
HELIUM = -2.903724377


@pytest.fixture(scope="module")
def helium(tmp_path_factory):
    """A finished run of helium."""
    folder = tmp_path_factory.mktemp("runs") / "He"
    return adiabat.energy("He", out=folder, quiet=True, **TINY)


def rows(folder: Path, stage: str) -> list[dict[str, str]]:
    with (folder / "metrics" / f"{stage}.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def final_state(folder: Path) -> list[np.ndarray]:
    run = adiabat.load(folder)
    return [*map(np.asarray, jax.tree.leaves(run.parameters)), run.walkers]


def test_energy_lies_between_exact_and_a_bad_guess(helium):
    assert helium.error > 0
    assert HELIUM - 4 * helium.error < helium.energy < -2.7


def test_the_folder_holds_everything(helium):
    there = {str(path.relative_to(helium.folder)) for path in helium.folder.rglob("*") if path.is_file()}
    assert {"config.yaml", "log.txt", "summary.json", "digest.npz", "lock", "plots/training.png"} <= there
    for stage, suffix in [(s, x) for s in ("train", "evaluate") for x in ("csv", "jsonl", "h5")]:
        assert f"metrics/{stage}.{suffix}" in there
    assert len(rows(helium.folder, "train")) == 30
    assert len(rows(helium.folder, "evaluate")) == 40


def test_the_summary_says_how_the_energy_came_about(helium):
    summary = json.loads((helium.folder / "summary.json").read_text())
    assert (summary["kind"], summary["status"], summary["unit"]) == ("energy", "finished", "hartree")
    assert summary["energy"] == helium.energy
    assert summary["steps"] == {"train": 30, "evaluate": 40}
    assert summary["exact_energy"] == pytest.approx(HELIUM)
    for key in ("energy_error", "energy_variance", "autocorrelation_time", "acceptance", "seed", "versions"):
        assert summary[key] is not None
    with np.load(helium.folder / "digest.npz") as digest:
        assert digest["total_mean"] == helium.energy
        assert digest["kinetic_mean"] + digest["potential_mean"] == pytest.approx(helium.energy, abs=1e-5)


def test_a_finished_run_is_loaded(helium):
    run = adiabat.load(helium.folder)
    assert run.system.symbols == ("He",)
    assert run.results["energy"] == helium.energy
    log_abs, phase = jax.vmap(run.log_psi)(run.walkers)
    assert log_abs.shape == phase.shape == (64,)
    assert np.all(np.isfinite(log_abs))


def test_the_same_command_again_prints_the_result(helium, capsys):
    before = (helium.folder / "metrics" / "train.csv").read_bytes()
    again = adiabat.energy("He", out=helium.folder, **TINY)
    assert again.energy == helium.energy
    assert "finished before" in capsys.readouterr().out
    assert (helium.folder / "metrics" / "train.csv").read_bytes() == before


def test_an_interrupted_run_goes_on_to_the_bit(helium, tmp_path):
    folder = tmp_path / "He"
    command = ["energy", "He", *FLAGS, "--out", str(folder), "-q"]
    for limit in ("0.05", "0.4"):
        assert main([*command, "--time-limit", limit]) == 75
        assert json.loads((folder / "summary.json").read_text())["status"] == "stopped"
    assert main(command) == 0
    for mine, undisturbed in zip(final_state(folder), final_state(helium.folder), strict=True):
        np.testing.assert_array_equal(mine, undisturbed)
    for stage in ("train", "evaluate"):
        assert rows(folder, stage) == rows(helium.folder, stage)


def test_more_iterations_and_a_smaller_error_extend_a_run(tmp_path):
    short = adiabat.energy("H", out=tmp_path / "H", quiet=True, **TINY)
    longer = adiabat.energy("H", out=tmp_path / "H", quiet=True, **{**TINY, "train": {"iterations": 40, "burn_in": 5}})
    assert (short.summary["steps"]["train"], longer.summary["steps"]["train"]) == (30, 40)
    more = adiabat.evaluate(tmp_path / "H", quiet=True, evaluate={"iterations": 90})
    assert more.summary["steps"]["evaluate"] == 90
    assert more.error < short.error


def test_another_setting_of_a_started_run_is_refused_in_one_sentence(helium):
    for changed, clause in [
        ({"walkers": 32}, "walkers is 64 there and 32 here"),
        (
            {"train": {**TINY["train"], "optimizer": "adam"}},
            "train.optimizer is sr there and adam here.* --reset-optimizer$",
        ),
        ({"wavefunction": {**TINY["wavefunction"], "layers": 2}}, "layers"),
    ]:
        with pytest.raises(InputError, match=clause) as raised:
            adiabat.energy("He", out=helium.folder, quiet=True, **{**TINY, **changed})
        assert ("--reset-optimizer" in str(raised.value)) == ("optimizer" in clause)
    with pytest.raises(InputError, match="holds another run"):
        adiabat.energy("H", out=helium.folder, quiet=True, **TINY)
    assert json.loads((helium.folder / "summary.json").read_text())["status"] == "finished"


def test_optimizers_whose_states_look_alike_are_not_taken_for_each_other(tmp_path):
    """C10: all optimizers of Optax are of one type, and the moments of Adam would fit LAMB."""

    def run(kind):
        optimizer = {"kind": kind, "learning_rate": 1e-3}
        settings = {**TINY, "train": {**TINY["train"], "iterations": 2, "optimizer": optimizer}}
        adiabat.energy("H", out=tmp_path / "H", quiet=True, **settings)

    run("optax:adam")
    with pytest.raises(InputError, match=r"train\.optimizer is optax:adam there and optax:lamb here"):
        run("optax:lamb")


class Stop(AbstractCallback):
    """Notes the state a run begins with, and ends it before this step."""

    def __init__(self, end):
        self.end = end

    def on_run_start(self, step, driver):
        self.begun = driver.state

    def on_step_end(self, step, log_data, driver):
        if driver.step_count == self.end:
            raise StopRun


def stopped(folder, end, *, reset=False, **train):
    """Run helium in training up to a step; the callback."""
    settings = {**TINY, "train": {**TINY["train"], **train}}
    stop = Stop(end)
    with pytest.raises(Interrupted) as raised:
        run_energy(
            ConfigManager([from_keywords(**settings)]), system="He", out=folder, reset_optimizer=reset, callbacks=[stop]
        )
    assert ("without --reset-optimizer" in str(raised.value)) == reset
    return stop


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """A run of helium that was stopped in training, with momentum."""
    folder = tmp_path_factory.mktemp("runs") / "He"
    stopped(folder, 12)
    return folder


def saved(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of the newest checkpoint."""
    checkpoints = Checkpoints(folder / "checkpoints")
    return dict(checkpoints.load(next(checkpoints.newest_first())).arrays)


def log(folder: Path) -> str:
    return (folder / "log.txt").read_text()


def test_a_run_goes_on_with_another_optimizer_on_purpose(halfway, tmp_path):
    """All but the optimizer's state as saved; and then like any run, to the bit wherever it is interrupted."""
    whole, pieces = (shutil.copytree(halfway, tmp_path / name) for name in ("whole", "pieces"))
    adam = {**TINY, "train": {**TINY["train"], "optimizer": "adam"}}
    command = ["energy", "He", *FLAGS, "--train.optimizer", "adam", "--out"]
    assert main([*command, str(whole), "-q", "--reset-optimizer"]) == 0
    stopped(pieces, 20, reset=True, optimizer="adam")
    adiabat.energy("He", out=pieces, quiet=True, **adam)
    first, second = saved(whole), saved(pieces)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    for stage in ("train", "evaluate"):
        assert rows(whole, stage) == rows(pieces, stage)
    train = rows(whole, "train")
    assert [row["damping"] == "" for row in train] == [False] * 12 + [True] * 18
    assert "kind: adam" in (whole / "config.yaml").read_text()
    assert log(whole).count("train: the optimizer's state begins anew at step 12 (sr before, adam now)") == 1


def test_the_momentum_is_dropped_and_nothing_else(halfway, tmp_path):
    folder = shutil.copytree(halfway, tmp_path / "He")
    before = saved(folder)
    begun = stopped(folder, 13, reset=True).begun
    momentum = before.pop("own/train/opt_state/direction")
    assert np.any(momentum != 0)
    state = begun.own["train"]["opt_state"]
    assert not np.any(state.direction)
    assert state.step == 0
    for part, name in [(begun.systems, "systems"), (begun.own["train"]["average"], "own/train/average")]:
        for path, leaf in jax.tree_util.tree_leaves_with_path(part):
            saved_leaf = before[f"{name}/{jax.tree_util.keystr(path, simple=True, separator='/')}"]
            np.testing.assert_array_equal(saved_leaf, leaf)
    assert (begun.clock.age[0], begun.clock.stage_age[0]) == (12, 12)
    assert "begins anew at step 12\n" in log(folder)


def test_what_else_differs_is_refused_with_a_new_optimizer_too(helium, halfway):
    adam = {**TINY["train"], "optimizer": "adam"}
    with pytest.raises(InputError, match="walkers is 64 there and 32 here") as raised:
        adiabat.energy("He", out=halfway, quiet=True, reset_optimizer=True, **{**TINY, "train": adam, "walkers": 32})
    assert "--reset-optimizer" not in str(raised.value)
    before = (helium.folder / "config.yaml").read_bytes()
    with pytest.raises(InputError, match="the optimizer cannot begin anew, because train is over at step 70"):
        adiabat.energy("He", out=helium.folder, quiet=True, reset_optimizer=True, **{**TINY, "train": adam})
    assert (helium.folder / "config.yaml").read_bytes() == before
    assert json.loads((helium.folder / "summary.json").read_text())["status"] == "finished"


def test_a_run_that_stops_before_the_first_step_of_evaluation_has_no_energy_yet(tmp_path):
    command = ["energy", "H", *FLAGS, "--train.iterations", "0", "--out", str(tmp_path / "H"), "-q"]
    assert main([*command, "--time-limit", "0.001"]) == 75
    summary = json.loads((tmp_path / "H" / "summary.json").read_text())
    assert summary["status"] == "stopped"
    assert "energy" not in summary


def test_a_result_says_when_its_error_bar_is_larger_than_asked_for(tmp_path):
    settings = {**TINY, "evaluate": {"iterations": 20, "error": 1e-7}}
    assert (
        "before the error reached 1e-07"
        in adiabat.energy("He", out=tmp_path / "He", quiet=True, **settings).summary["note"]
    )


def test_what_is_refused_while_preparing_leaves_an_empty_folder_to_others(tmp_path):
    assert main(["energy", "He", *FLAGS, "--pretrain.basis", "nope", "--out", str(tmp_path), "-q"]) == 2
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["lock"]
    adiabat.energy("H", out=tmp_path, quiet=True, **TINY)


def test_a_folder_without_a_run_cannot_be_loaded(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(InputError, match="expected the folder of"):
        adiabat.load(tmp_path)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_steps_that_always_fail_end_the_run_with_the_last_good_state(tmp_path):
    """C5: an update that is not finite is never saved, and a smaller learning rate goes on from before it."""
    explosive = {"kind": "adam", "learning_rate": 1e39}
    settings = {**TINY, "train": {**TINY["train"], "optimizer": explosive}}
    with pytest.raises(NumericalError, match="failed 10 times"):
        adiabat.energy("He", out=tmp_path / "He", quiet=True, **settings)
    assert json.loads((tmp_path / "He" / "summary.json").read_text())["status"] == "failed"
    assert all(np.all(np.isfinite(leaf)) for leaf in final_state(tmp_path / "He"))
    gentle = {**TINY, "train": {**TINY["train"], "optimizer": {"kind": "adam", "learning_rate": 1e-3}}}
    assert np.isfinite(adiabat.energy("He", out=tmp_path / "He", quiet=True, **gentle).energy)


@pytest.mark.parametrize(
    ("words", "clause"),
    [
        (["Xx"], "Xx"),
        (["nothing.xyz"], "nothing.xyz"),
        (["H 0 0 0; H 0 0 0.01"], "0.1 bohr"),
        (["H", "--charge", "1"], "electrons"),
        (["He", "--spin", "1"], "spin"),
        (["He", "--train.iterations", "-1"], "--train.iterations"),
        (["He", "--walkers", "0"], "--walkers"),
        (["He", "--reset-optimizer"], "--reset-optimizer: runs/He holds no run yet"),
        (["He", "--train.iterations", "many"], "--train.iterations"),
        (["He", "--train.optimizer.dampning", "1"], "did you mean '--train.optimizer.damping'"),
        (["He", "--train.optimizer", "srr"], "did you mean 'sr'"),
        (["He", "--train.optimizer", "optax:adabelif"], "did you mean 'adabelief'"),
        (["He", "--train.optimizer", "optax:lbfgs", "--train.optimizer.learning_rate", "1"], "needs value, grad"),
        (["He", "--wavefunction", "ferminat"], "did you mean 'ferminet'"),
        (["He", "--trian.iterations", "1"], "did you mean '--train.iterations'"),
        (["He", "--pretrain.iterations", "5", "--pretrain.basis", "no-such-basis"], "no-such-basis"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, capsys, words, clause):
    monkeypatch.chdir(tmp_path)
    assert main(["energy", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert clause in said
    assert list(tmp_path.iterdir()) == []


def start(folder: Path) -> subprocess.Popen[str]:
    source = str(Path(adiabat.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}
    command = [sys.executable, "-m", "adiabat", "energy", "He", *FLAGS, "--out", str(folder), "-q"]
    return subprocess.Popen(
        [*command, "--train.save_time_interval", "0"], env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_runs_killed_at_random_moments_end_as_if_undisturbed(tmp_path, number):
    undisturbed = tmp_path / "undisturbed"
    process = start(undisturbed)
    began = time.monotonic()
    _, said = process.communicate(timeout=300)
    lasted = time.monotonic() - began
    assert process.returncode == 0, said
    moments = random.Random(number)
    for trial in range(20 if number == signal.SIGKILL else 5):
        folder = tmp_path / str(trial)
        process = start(folder)
        time.sleep(moments.uniform(0.2, 1.0) * lasted)
        process.send_signal(number)
        process.communicate(timeout=300)
        process = start(folder)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        for mine, theirs in zip(final_state(folder), final_state(undisturbed), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        for stage in ("train", "evaluate"):
            assert rows(folder, stage) == rows(undisturbed, stage)
