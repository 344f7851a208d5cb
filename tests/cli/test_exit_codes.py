"""Every way an end can come about has its exit code; only a defect of ours shows a traceback."""

from __future__ import annotations

import sys

import pytest

from adiabat.errors import InputError, InputTypeError, Interrupted, NumericalError, OutputError


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("charge 4 leaves\nno electrons"), 2, "charge 4 leaves no electrons"),
        (InputTypeError("5 is no optimizer"), 2, "5 is no optimizer"),
        (NumericalError("the energy is not finite"), 3, "the energy is not finite"),
        (OutputError("no space left"), 74, "no space left"),
        (OSError(28, "No space left on device", "a.npz"), 74, "[Errno 28] No space left on device: 'a.npz'"),
        (Interrupted("time limit"), 75, "time limit"),
        (KeyboardInterrupt(), 75, "stopped; the same command goes on"),
    ],
)
def test_what_is_no_defect_is_one_sentence(adiabat, calls, monkeypatch, error, code, sentence):
    def fail(cfg, system, **options):
        raise error

    monkeypatch.setattr(sys.modules["adiabat.runs"], "compute", fail)
    assert adiabat("energy", "LiH", "-v") == (code, "", f"adiabat: {sentence}\n")


def test_a_defect_shows_its_traceback_unless_quiet(adiabat, calls, monkeypatch):
    def fail(cfg, system, **options):
        raise KeyError("x")

    monkeypatch.setattr(sys.modules["adiabat.runs"], "compute", fail)
    code, _, err = adiabat("energy", "LiH")
    assert code == 1
    assert "Traceback" in err
    code, _, err = adiabat("energy", "LiH", "-q")
    assert code == 1
    assert err == "adiabat: KeyError: 'x' (this is a defect of adiabat, please report it)\n"


def test_errors_are_the_built_in_ones_too():
    assert issubclass(InputError, ValueError)
    assert issubclass(InputTypeError, TypeError)
    assert issubclass(OutputError, OSError)
    assert issubclass(NumericalError, ArithmeticError)
    assert str(OutputError("disk full")) == "disk full"
