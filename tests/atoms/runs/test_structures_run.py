"""Runs of structures as a user makes them: from a file to results.csv, interrupted and resumed, with bad ones among."""

import csv
import json
from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import read, write
from ase.optimize import FIRE
from records import logged

import adiabat
from adiabat.atoms import FromFunction
from adiabat.atoms.buckets import CostModel, plan_buckets
from adiabat.atoms.runs import run_structures
from adiabat.atoms.runs.structure_set import structures_from
from adiabat.config import ConfigManager, from_keywords
from adiabat.engine import AbstractCallback, StopRun
from adiabat.errors import InputError, Interrupted, OutputError
from adiabat.io import RunFolder
from adiabat.report import run_report

CHAIN = [
    {"kind": "fire", "fmax": 0.01, "n_steps": 500},
    {"kind": "nvt-langevin", "temperature": 20.0, "n_steps": 50},
    {"kind": "fire", "fmax": 1e-3, "n_steps": 1000},
]
FILES = ("results.csv", "final.extxyz")


def rows(folder):
    with (folder / "results.csv").open() as file:
        return list(csv.DictReader(file))


class Stop(AbstractCallback):
    """Ends a run after so many steps of the batch."""

    def __init__(self, step):
        self.step = step

    def on_progress(self, step, driver):
        if step >= self.step:
            raise StopRun


def run(structures, out, *, callbacks=(), potential="lennard-jones", **settings):
    cfg = ConfigManager([from_keywords("relax", potential=potential, batch_size=3, **settings)])
    return run_structures(cfg, "relax", structures, out=out, callbacks=callbacks)


@pytest.fixture(scope="module")
def whole(argon, tmp_path_factory):
    """A run of the chain that nothing has disturbed."""
    return run(argon, tmp_path_factory.mktemp("whole") / "run", stages=CHAIN)


def test_relaxed_structures_are_those_of_ase_in_the_order_of_the_input(argon, tmp_path):
    result = adiabat.relax(argon, "lennard-jones", fmax=1e-3, out=tmp_path / "run", batch_size=4)
    assert result.outcomes == ["done"] * 6
    found = read(tmp_path / "run" / "final.extxyz", ":")
    for number, (atoms, final) in enumerate(zip(read(argon, ":"), found, strict=True)):
        atoms.calc = LennardJones(sigma=3.40, epsilon=0.0104, rc=10.0)
        optimizer = FIRE(atoms, logfile=None)
        optimizer.run(fmax=1e-3)
        assert result.energies[number] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        assert result.steps[number] == optimizer.nsteps
        assert final.get_potential_energy() == result.energies[number]
        assert final.info["label"] == f"cluster {number}"
        assert final.info["weight"] == 0.5 * number
        assert final.info["system_id"] == number
        assert final.info["source"] == f"{argon}@{number}"
        assert final.info["outcome"] == "done"
        assert final.info["fmax"] == pytest.approx(result.fmax[number])
    assert max(result.fmax) <= 1e-3
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["outcomes"]["done"] == 6
    assert (tmp_path / "run" / "plots" / "courses.png").stat().st_size > 10_000


def test_a_chain_gives_each_structure_all_of_its_steps(whole):
    log = whole.folder / "metrics" / "16-atoms.csv"
    with log.open() as file:
        logged = list(csv.DictReader(file))
    for system in range(6):
        stages = [row["stage"] for row in logged if row["system_id"] == str(system)]
        assert stages == sorted(stages, key=["fire", "nvt-langevin", "fire-2"].index)
    assert [row["stage"] for row in whole.rows] == ["fire-2"] * 6
    assert all(row["steps"] > 50 for row in whole.rows)
    assert whole.fmax.max() <= 1e-3


@pytest.mark.parametrize("step", [1, 60, 200])
def test_a_run_that_is_cut_off_goes_on_to_the_bit(argon, whole, tmp_path, step):
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(argon, folder, stages=CHAIN, callbacks=[Stop(step)])
    stopped = json.loads((folder / "summary.json").read_text())
    assert stopped["status"] == "stopped"
    assert sum(stopped["outcomes"].values()) == 6
    assert len(rows(folder)) == 6
    run(argon, folder, stages=CHAIN)
    for name in FILES:
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert logged(folder / "metrics/16-atoms.csv") == logged(whole.folder / "metrics/16-atoms.csv")


def test_a_finished_run_says_so_and_is_left_alone(argon, whole):
    before = {name: (whole.folder / name).read_bytes() for name in FILES}
    again = run(argon, whole.folder, stages=CHAIN)
    assert "finished before" in again.summary["reason"]
    assert again.rows == whole.rows
    assert before == {name: (whole.folder / name).read_bytes() for name in FILES}


def test_another_run_does_not_go_on_here(argon, whole):
    with pytest.raises(InputError, match="holds another run: seed is 0 there and 1 here"):
        run(argon, whole.folder, stages=CHAIN, seed=1)
    with pytest.raises(InputError, match="holds another run: structures is '6 structures"):
        run(read(argon, "1:"), whole.folder, stages=CHAIN)
    with pytest.raises(InputError, match=r"potential\.cutoff is 10\.0 there and 8\.0 here|potential\.cutoff"):
        run(argon, whole.folder, stages=CHAIN, potential={"kind": "lennard-jones", "cutoff": 8.0})


def test_bad_structures_fail_alone_and_are_named(argon, whole, tmp_path):
    """Two that cannot be read or used; the others are what they are without them, but for where they stand."""
    text = argon.read_text().splitlines(keepends=True)
    bad = tmp_path / "some-bad.extxyz"
    first, rest = "".join(text[:5]), "".join(text[5:])
    broken = first.replace("Ar ", "A$ ", 1)
    copper = first.replace("Ar ", "Cu ", 1)
    bad.write_text(first + broken + copper + rest)
    result = run(bad, tmp_path / "run", stages=CHAIN)
    assert result.outcomes == ["done", "failed", "failed", *["done"] * 5]
    assert result.rows[1]["reason"].startswith(f"frame 1 of '{bad}' cannot be used: KeyError")
    assert result.rows[2]["reason"].startswith(f"frame 2 of '{bad}': Lennard-Jones: no parameters for the pair")
    # The first is system 0 in both, so that its noise is the same; its slot need not be.
    assert result.rows[0]["energy"] == whole.rows[0]["energy"]
    assert len(read(tmp_path / "run" / "final.extxyz", ":")) == 6
    with pytest.raises(InputError, match="frame 1 of"):
        run(bad, tmp_path / "strict", stages=CHAIN, strict=True)
    assert not (tmp_path / "strict").exists()


def test_several_sizes_of_slots_are_one_run(argon, tmp_path, monkeypatch):
    """Two buckets, the second cut off; each structure ends as in one bucket, for it does not know its neighbors."""
    cheap = partial(plan_buckets, cost=CostModel(compile_seconds=0.0))
    alone = run(argon, tmp_path / "one", fmax=0.01)
    monkeypatch.setattr("adiabat.atoms.runs.plan.plan_buckets", cheap)
    straight = run(argon, tmp_path / "two", fmax=0.01)
    assert [bucket["n_slot_atoms"] for bucket in straight.summary["buckets"]] == [8, 16]
    np.testing.assert_allclose(straight.energies, alone.energies, rtol=0, atol=1e-12)

    class StopInSecond(Stop):
        def on_progress(self, step, driver):
            if driver.batch.n_slot_atoms == 16:
                super().on_progress(step, driver)

    with pytest.raises(Interrupted):
        run(argon, tmp_path / "cut", fmax=0.01, callbacks=[StopInSecond(1)])
    run(argon, tmp_path / "cut", fmax=0.01)
    for name in FILES:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    for name in ("metrics/8-atoms.csv", "metrics/16-atoms.csv"):
        assert logged(tmp_path / "cut" / name) == logged(tmp_path / "two" / name)


def test_structures_that_do_not_converge_are_unfinished(argon, tmp_path):
    result = run(argon, tmp_path / "run", fmax=1e-6, steps=5)
    assert result.outcomes == ["unfinished"] * 6
    assert result.rows[0]["reason"] == "not converged within 5 steps"
    assert list(result.steps) == [5] * 6


def test_structures_given_in_python_leave_no_folder(argon, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = adiabat.md(read(argon, ":2"), "lennard-jones", temperature=20, steps=30)
    assert result.folder is None
    assert not list(tmp_path.iterdir())
    assert result.outcomes == ["done", "done"]
    velocities = [atoms.get_velocities() for atoms in result.to_ase()]
    assert all(np.abs(v).max() > 0 for v in velocities), "velocities are drawn where nothing moves yet"


def test_the_report_is_made_again_from_the_files(whole, capsys):
    picture = whole.folder / "plots" / "courses.png"
    picture.unlink(missing_ok=True)
    summary = run_report(whole.folder)
    assert summary["outcomes"] == whole.summary["outcomes"]
    assert "6 of 6" in capsys.readouterr().out
    assert picture.stat().st_size > 10_000


def test_lists_that_have_grown_are_as_large_when_a_run_goes_on(tmp_path):
    """The first structure needs room for few neighbors, the one that enters first for many."""
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    rng = np.random.default_rng(0)
    structures = [Atoms(f"Ar{n}", 3.7 * grid[:n] + rng.normal(scale=0.05, size=(n, 3))) for n in (4, 60)]
    potential = {"kind": "lennard-jones", "search": "list"}
    settings = {"potential": potential, "steps": 40, "fmax": 1e-9, "batch_size": 1}
    straight = adiabat.relax(structures, out=tmp_path / "straight", **settings)
    assert "have grown" in (tmp_path / "straight" / "log.txt").read_text()
    cfg = ConfigManager([from_keywords("relax", **settings)])
    with pytest.raises(Interrupted):
        run_structures(cfg, "relax", structures, out=tmp_path / "cut", callbacks=[Stop(3)])
    resumed = adiabat.relax(structures, out=tmp_path / "cut", **settings)
    assert resumed.rows == straight.rows
    assert adiabat.relax(structures, out=tmp_path / "cut", **settings).rows == straight.rows, "finished before"


def test_what_is_given_goes_before_the_files_of_a_configuration(argon, whole, tmp_path):
    other = tmp_path / "other.extxyz"
    write(other, read(argon, "0"))
    result = adiabat.relax(other, config=whole.folder / "config.yaml", out=tmp_path / "run", stages=CHAIN[:1])
    assert len(result.rows) == 1


def test_velocities_are_drawn_for_each_structure_by_itself(argon):
    still, moving = read(argon, "0"), read(argon, "1")
    moving.set_velocities(np.full((len(moving), 3), 1e-3))
    given = moving.get_velocities()
    alone, both = (
        adiabat.md(structures, "lennard-jones", temperature=20, steps=1, dt=1e-6)
        for structures in ([still], [still, moving])
    )
    np.testing.assert_allclose(both.to_ase()[0].get_velocities(), alone.to_ase()[0].get_velocities(), rtol=1e-12)
    np.testing.assert_allclose(both.to_ase()[1].get_velocities(), given, rtol=1e-2)  # friction and noise of 1e-6 fs


def test_what_a_run_depends_on_is_in_its_fingerprint(argon):
    atoms = read(argon, "0")
    plain = structures_from(atoms)
    held = structures_from(atoms, fixed_center=True)
    atoms.set_array("sites", atoms.positions + 0.1)
    other = atoms.copy()
    other.arrays["sites"] += 0.1
    one, two = (replace(structures_from(each), fields=frozenset({"sites"})) for each in (atoms, other))
    assert len({each.digest for each in (plain, held, one, two)}) == 4


def test_functions_without_a_name_do_not_go_on(argon, tmp_path):
    def once(factor):
        potential = FromFunction(lambda positions, mask: factor * jnp.sum(mask[:, None] * positions**2))
        return adiabat.relax(read(argon, "0"), potential, out=tmp_path / "run", steps=3)

    once(1.0)
    with pytest.raises(InputError, match=r"potential\.energy is what it was then cannot be told"):
        once(3.0)


def test_unusable_structures_make_no_room_for_themselves(argon, tmp_path):
    large = Atoms("Fe40", np.arange(120.0).reshape(40, 3))
    result = run([read(argon, "0"), large], tmp_path / "run", fmax=0.1)
    assert [bucket["n_slot_atoms"] for bucket in result.summary["buckets"]] == [8]
    assert result.outcomes == ["done", "failed"]


def test_a_failure_at_the_end_is_in_the_summary(argon, tmp_path, monkeypatch):
    def fails(*arguments):
        raise OutputError("the disk is full")

    monkeypatch.setattr("adiabat.atoms.runs.run.write_results", fails)
    with pytest.raises(OutputError, match="the disk is full"):
        run(argon, tmp_path / "run", fmax=0.1)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("failed", "the disk is full")


def test_what_is_refused_leaves_the_log_alone(argon, whole):
    before = (whole.folder / "log.txt").read_bytes()
    with pytest.raises(InputError):
        run(argon, whole.folder, stages=CHAIN[:2])
    assert (whole.folder / "log.txt").read_bytes() == before


def test_a_report_of_a_run_that_was_killed(tmp_path, capsys):
    with RunFolder(tmp_path / "run").owned({"kind": "relax", "structures": "6", "seed": 0}):
        run_report(tmp_path / "run")
    said = capsys.readouterr().out
    assert said.startswith("relax, running")
