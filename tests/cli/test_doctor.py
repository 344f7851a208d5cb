"""`adiabat doctor` finds what is wrong with a machine, survives it, and says what to do."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

from adiabat.cli import blas_threads, compilation_cache, doctor, jax_patterns


def test_the_machine_that_runs_the_tests_is_well(capfd):
    code = doctor.run_doctor()
    report = capfd.readouterr().out
    assert code == 0, report
    assert report.count("\n  ok ") >= 9
    assert "known  doubled, shifted in place, reshaped" in report
    assert "All is well" in report


def test_what_failed_is_told_with_its_remedy_and_exit_code_1(capsys, monkeypatch):
    findings = [doctor.Finding("ok", "here"), doctor.Finding("FAILED", "gone", "pip install it")]
    monkeypatch.setattr(doctor, "EXAMINATIONS", {"Things": lambda: iter(findings)})
    assert doctor.run_doctor() == 1
    report = capsys.readouterr().out
    assert "FAILED gone\n         -> pip install it" in report
    assert "Not all is well" in report


def test_a_note_does_not_fail(capsys, monkeypatch):
    slow = [doctor.Finding("note", "slow", "make it faster")]
    monkeypatch.setattr(doctor, "EXAMINATIONS", {"Things": lambda: iter(slow)})
    assert doctor.run_doctor() == 0
    assert "-> make it faster" in capsys.readouterr().out


def test_a_process_without_end_is_ended(monkeypatch):
    monkeypatch.setattr(doctor, "TIME_LIMIT", 0.3)
    assert doctor.run_python(["-c", "import time; time.sleep(60)"]).text.startswith("no end within")


def test_a_crash_is_a_finding():
    finding = doctor.run_python(["-c", "import os; os.kill(os.getpid(), 11)"])
    assert (finding.status, finding.text) == ("FAILED", "crashed with signal 11")


def test_a_pattern_that_jax_computes_wrongly_is_reported(monkeypatch):
    known = jax_patterns.PATTERNS["overlapping-shift"]
    new_defect = jax_patterns.Pattern(known.name, known.does, known.run)
    finding = doctor.examine_pattern(new_defect)
    assert finding.status == "FAILED"
    assert "WRONG" in finding.text
    assert finding.remedy.startswith("pip install --upgrade")


def test_nan_is_no_agreement(monkeypatch, capsys):
    nan = jax_patterns.Pattern("nan", "gives nan", lambda: ([float("nan"), 1.0], [1.0, 1.0]))
    monkeypatch.setitem(jax_patterns.PATTERNS, "nan", nan)
    assert jax_patterns.main(["nan"]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_an_unknown_pattern_is_refused(capsys):
    assert jax_patterns.main(["fft"]) == 2
    assert "batched-lu" in capsys.readouterr().err


def test_a_missing_package_and_a_wrong_release_are_told(monkeypatch):
    def version(name: str) -> str:
        if name == "h5py":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.10.2" if name.startswith("jax") else "99.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["jax>=0.9.1,<0.10", "h5py>=3.12"])
    failed = {f.text: f.remedy for f in doctor.examine_versions() if f.status == "FAILED"}
    assert failed == {
        "h5py is not installed": 'pip install --upgrade "h5py>=3.12"',
        "jax 0.10.2 is outside what adiabat needs, <0.10,>=0.9.1": 'pip install --upgrade "jax<0.10,>=0.9.1"',
    }


def test_more_threads_than_free_cores_are_noted(monkeypatch):
    monkeypatch.setattr(doctor, "available_cores", lambda: 2)
    monkeypatch.setattr(doctor, "blas_threads", lambda: 64)
    (finding,) = doctor.examine_threads()
    assert finding.status == "note"
    assert "OPENBLAS_NUM_THREADS=" in finding.remedy


def test_threads_of_linear_algebra_are_those_set():
    program = "from adiabat.cli.blas_threads import blas_threads; print(blas_threads())"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.strip() in ("1", "None")
    assert blas_threads.available_cores() >= 1


def test_the_cache_is_in_the_users_folder_unless_chosen(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compilation_cache.compilation_cache_folder().is_relative_to(tmp_path / "adiabat")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "mine"))
    assert compilation_cache.compilation_cache_folder() == tmp_path / "mine"


def test_without_a_writable_cache_nothing_is_set_and_the_doctor_says_so(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert compilation_cache.use_compilation_cache() is None
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    (finding,) = doctor.examine_cache()
    assert finding.status == "note"


@pytest.mark.parametrize("name", sorted(jax_patterns.PATTERNS))
def test_every_pattern_says_what_it_does(name):
    assert jax_patterns.PATTERNS[name].does
    assert jax_patterns.PATTERNS[name].run.__doc__
