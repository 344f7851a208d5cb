"""The folder of a run: whose it is, and that only one process has it."""

import json
import os
import subprocess
import sys

import pytest

from adiabat.errors import InputError
from adiabat.io import RunFolder

LIH = {"kind": "energy", "system": "LiH", "charge": 0}


def test_looking_at_a_folder_makes_nothing(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "LiH")
    folder.check(LIH)
    assert folder.read_summary() == {}
    assert list(tmp_path.iterdir()) == []


def test_owning_makes_the_folder_and_says_whose_it_is(tmp_path):
    with RunFolder(tmp_path / "runs" / "LiH").owned(LIH) as folder:
        summary = folder.read_summary()
        assert summary["identity"] == LIH
        assert summary["status"] == "running"
        folder.write_summary({"status": "finished", "energy": -8.07, "error": float("nan")})
    assert json.loads(folder.summary.read_text()) == {
        "identity": LIH,
        "status": "finished",
        "energy": -8.07,
        "error": None,
    }


def test_the_same_run_may_come_again_and_finds_its_summary(tmp_path):
    with RunFolder(tmp_path).owned(LIH) as folder:
        folder.write_summary({"status": "finished", "energy": -8.07})
    with RunFolder(tmp_path).owned(LIH) as folder:
        assert folder.read_summary()["energy"] == -8.07


def test_a_folder_of_another_system_is_refused_and_left_alone(tmp_path):
    with RunFolder(tmp_path).owned(LIH) as folder:
        folder.write_summary({"status": "finished"})
    before = folder.summary.read_bytes()
    other = {"kind": "energy", "system": "BeH", "charge": 1}
    with pytest.raises(InputError) as raised:
        RunFolder(tmp_path).claim(other)
    assert "system is 'LiH' there and 'BeH' here; charge is 0 there and 1 here" in str(raised.value)
    assert folder.summary.read_bytes() == before


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"holds no run but other things \(thesis\.tex\)"):
        RunFolder(tmp_path).claim(LIH)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match="runs is a file"):
        RunFolder(tmp_path / "runs" / "LiH").claim(LIH)


def test_a_place_that_may_not_be_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="write-protected"):
        RunFolder(tmp_path / "LiH").claim(LIH)


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path):
    in_use = rf"is in use by another process \(pid {os.getpid()} on "
    with RunFolder(tmp_path).owned(LIH), pytest.raises(InputError, match=in_use):
        RunFolder(tmp_path).claim(LIH)
    RunFolder(tmp_path).owned(LIH).release()


def test_the_lock_of_a_dead_process_holds_nobody_up(tmp_path):
    script = "import os, sys; from adiabat.io import RunFolder; RunFolder(sys.argv[1]).claim({}); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == 9
    assert (tmp_path / "lock").exists()
    RunFolder(tmp_path).owned({}).release()


def test_a_summary_that_is_none_is_named(tmp_path):
    (tmp_path / "summary.json").write_text("{half")
    with pytest.raises(InputError, match=r"summary\.json is no summary of a run"):
        RunFolder(tmp_path).read_summary()


def test_the_module_does_not_import_jax_or_numpy():
    script = "import sys, adiabat.io.run_folder; sys.exit(any(m in sys.modules for m in ('jax', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
