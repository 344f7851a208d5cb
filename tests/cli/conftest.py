"""A stand-in for the energy run, so that the command line is tested without computing anything."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from typing import Any

import pytest

from adiabat.cli.main import main
from adiabat.config import setting


@dataclass(frozen=True)
class Stage:
    iterations: int = setting(100, min=0)
    check_vma: bool = True


@dataclass(frozen=True)
class System:
    name: str = ""
    charge: int = 0
    spin: int | None = None
    unit: str = "angstrom"


def _ask(cfg, system):
    cfg.get("seed", int, default=0, min=0)
    cfg.get("system", System(name=system))
    cfg.get("sampler.walkers", 256, min=1)
    cfg.get("wavefunction", "ferminet")
    cfg.get("train", Stage)
    cfg.get("evaluate.error", float | None, default=None, above=0)
    cfg.finalize()


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What the command line asked the program to do: a list of (function, arguments)."""
    made: list[tuple[str, dict[str, Any]]] = []

    def compute(cfg, system, **options):
        _ask(cfg, system or "")
        made.append(("compute", {"cfg": cfg, "system": system, **options}))

    def run_report(folder):
        made.append(("run_report", {"folder": folder}))

    for name, function in [("adiabat.runs", compute), ("adiabat.report", run_report)]:
        module = types.ModuleType(name)
        setattr(module, function.__name__, function)
        monkeypatch.setitem(sys.modules, name, module)
    for module in ("energy", "evaluate", "describe"):
        monkeypatch.setattr(f"adiabat.cli.{module}.prepare", lambda devices=None: None)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def adiabat(capsys):
    """Run a command line; returns exit code, standard output and standard error."""

    def run(*words: str):
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
