"""The kinds of `some_kinds.py` under the names of the real ones."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("some_kinds", Path(__file__).with_name("some_kinds.py"))
assert _spec is not None
assert _spec.loader is not None
some_kinds = importlib.util.module_from_spec(_spec)
sys.modules["some_kinds"] = some_kinds
_spec.loader.exec_module(some_kinds)


@pytest.fixture(autouse=True)
def _kinds(monkeypatch):
    some_kinds.register(monkeypatch)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a YAML file `run.yaml` in a fresh current folder and read it as a source."""
    from adiabat.config import from_yaml

    monkeypatch.chdir(tmp_path)

    def write_yaml(text: str):
        Path("run.yaml").write_text(text)
        return from_yaml("run.yaml")

    return write_yaml


@pytest.fixture
def flags():
    """Command-line options as a source: `flags("--train.iterations=5", "--train.check")`."""
    from adiabat.config import Flag, from_flags

    def make(*options: str):
        pairs = [option.partition("=") for option in options]
        return from_flags(Flag(name.removeprefix("--"), text if equals else None, name) for name, equals, text in pairs)

    return make
