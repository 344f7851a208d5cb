"""`adiabat relax` and `adiabat md`: what a user gets wrong is one clear sentence, before anything is computed."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from adiabat.cli.main import main

LJ = ("--potential", "lennard-jones")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with good and bad structures, where the program runs."""
    monkeypatch.chdir(tmp_path)
    pair = Atoms("Ar2", [[0, 0, 0], [3.8, 0, 0]])
    write("ok.extxyz", pair)
    write("copper.xyz", Atoms("Cu2", [[0, 0, 0], [2.5, 0, 0]]))
    write("mixed.xyz", Atoms("ArKr", [[0, 0, 0], [3.8, 0, 0]]))
    write("coincident.xyz", Atoms("Ar2", [[0, 0, 0], [0, 0, 0]]))
    write("nan.xyz", Atoms("Ar2", [[0, 0, 0], [0, 0, np.nan]]))
    write("flat.extxyz", Atoms("Ar", cell=[[5, 0, 0], [5, 0, 0], [0, 0, 5]], pbc=True))
    write("no-cell.extxyz", Atoms("Ar", pbc=True))
    write("left.extxyz", Atoms("Ar", cell=[[0, 5, 0], [5, 0, 0], [0, 0, 5]], pbc=True))
    write("crystal.extxyz", bulk("Ar", "fcc", 5.3))
    write("some.extxyz", [pair, Atoms("Cu"), pair])
    (tmp_path / "empty.xyz").touch()
    (tmp_path / "chain.yaml").write_text("stages:\n  - {kind: fire, fmax: 0.1}\n  - {kind: nve}\n")
    (tmp_path / "odd.yaml").write_text("stages:\n  - {kind: fire, fmx: 0.1}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["relax"], "relax needs a FILE"),
        (["relax", "ok.extxyz"], "potential is required: expected a kind of potential: lennard-jones, morse"),
        (["relax", "ok.extxyz", "--potential", "lenard-jones"], "did you mean 'lennard-jones'?"),
        (["relax", "none.xyz", *LJ], "file 'none.xyz' does not exist"),
        (["relax", "empty.xyz", *LJ], "file 'empty.xyz' is empty"),
        (["relax", "copper.xyz", *LJ], "frame 0 of 'copper.xyz': Lennard-Jones: no parameters for the pair Cu-Cu"),
        (["relax", "mixed.xyz", *LJ], "no parameters for the pair Ar-Kr; give them as pairs: {Ar-Kr: "),
        (["relax", "coincident.xyz", *LJ], "two atoms in one place"),
        (["relax", "nan.xyz", *LJ], "positions that are no numbers"),
        (["relax", "flat.extxyz", *LJ], "a cell without volume"),
        (["relax", "no-cell.extxyz", *LJ], "it is periodic and has no cell"),
        (["relax", "some.extxyz", *LJ, "--strict"], "frame 1 of 'some.extxyz': Lennard-Jones: no parameters"),
        (["relax", "ok.extxyz", *LJ, "--cell"], "has no cell, and FIRE is asked to relax it"),
        (["relax", "crystal.extxyz", "--potential", "harmonic", "--cell"], "FIRE needs stress from its potential"),
        (["relax", "ok.extxyz", *LJ, "--batch.max-atoms", "1"], "has 2 atoms, more than the 1 that a slot may have"),
        (["relax", "ok.extxyz", *LJ, "--fmax", "-1"], "--fmax: expected a number > 0 or none, got '-1'"),
        (["relax", "ok.extxyz", *LJ, "--fmx", "1"], "unknown option --fmx, did you mean '--fmax'?"),
        (["relax", "ok.extxyz", *LJ, "--fmax", "none", "--steps", "none"], "relax: fire would never end"),
        (["relax", "ok.extxyz", *LJ, "--config", "chain.yaml"], "stages, number 2: nve would never end"),
        (
            ["relax", "ok.extxyz", *LJ, "--config", "odd.yaml"],
            "odd.yaml:2: stages: unknown setting 'fmx', did you mean",
        ),
        (["md", "ok.extxyz", *LJ, "--steps", "5"], "md.temperature is required"),
        (["md", "ok.extxyz", *LJ, "--steps", "5"], "(temperature of the bath); its short name is 'temperature'"),
        (["md", "ok.extxyz", *LJ, "--temperature", "30"], "md: nvt-langevin would never end"),
        (["md", "ok.extxyz", *LJ, "--temperature", "-3", "--steps", "5"], "--temperature: expected a number >= 0"),
        (["md", "ok.extxyz", *LJ, "--temperature", "10,20", "--steps", "5"], "got 2 numbers for 1 systems"),
        (["md", "ok.extxyz", *LJ, "--ensemble", "nve", "--temperature", "9", "--steps", "5"], "md.initial_temperature"),
        (["md", "ok.extxyz", *LJ, "--ensemble", "npt", "--temperature", "9", "--steps", "5"], "unknown dynamics 'npt'"),
    ],
)
def test_what_is_wrong_is_a_sentence(files, capsys, words, sentence):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (files / "runs").exists()


def test_every_setting_is_shown_and_nothing_is_run(files, capsys):
    assert main(["relax", "left.extxyz", *LJ, "--cell", "--pressure", "0.5", "--show-config"]) == 0
    shown = capsys.readouterr().out
    for line in ("  fmax: 0.01", "    pressure: 0.5", "  files: [left.extxyz]", "  kind: lennard-jones"):
        assert line in shown
    assert not (files / "runs").exists()


def test_some_that_fail_make_the_exit_code_and_the_last_line(files, capsys):
    assert main(["relax", "some.extxyz", *LJ, "--out", "run"]) == 4
    assert capsys.readouterr().out.strip().splitlines()[-1] == "of 3 structures 1 failed"
    assert main(["report", "run"]) == 0
    assert "no parameters for the pair Cu-Cu" in capsys.readouterr().out


def test_left_handed_cells_work(files):
    assert main(["relax", "left.extxyz", *LJ, "--steps", "2", "--fmax", "1e-9", "-q", "--out", "run"]) == 0
