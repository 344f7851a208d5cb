"""Values of every type, from text and from Python; what does not fit is said in one sentence."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from adiabat.config import ConfigManager, check_settings, setting
from adiabat.errors import InputError


class Unit(enum.Enum):
    BOHR = "bohr"
    ANGSTROM = "angstrom"


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (int, "5000", 5000),
        (int, "-1", -1),
        (int, "1e4", 10_000),
        (float, "1e-3", 1e-3),
        (float, "2", 2.0),
        (bool, "yes", True),
        (bool, "false", False),
        (str, "no", "no"),
        (str, "12", "12"),
        (Path, "runs/LiH", Path("runs/LiH")),
        (int | None, "none", None),
        (str | None, "null", None),
        (int | str, "7", 7),
        (Literal["var", "diff"], "diff", "diff"),
        (Literal[1, 2], "2", 2),
        (Unit, "bohr", Unit.BOHR),
        (tuple[int, ...], "1,2,3", (1, 2, 3)),
        (tuple[int, ...], "[4, 5]", (4, 5)),
        (tuple[float, str], "[1.5, a]", (1.5, "a")),
        (list[float], "[1]", [1.0]),
        (dict[str, int], "{a: 1}", {"a": 1}),
        (Any, "1e-3", 1e-3),
        (Any, "word", "word"),
    ],
)
def test_text_becomes_the_type_of_the_setting(flags, type_, text, value):
    given = ConfigManager([flags(f"--x={text}")]).get("x", type_)
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    ("type_", "text", "sentence"),
    [
        (int, "many", "--x: expected an integer, got 'many'"),
        (int, "1.5", "--x: expected an integer, got '1.5'"),
        (int, "true", "--x: expected an integer, got 'true'"),
        (float, "nan", "--x: expected a number, got 'nan'"),
        (bool, "2", "--x: expected true or false, got '2'"),
        (int | None, "x", "--x: expected an integer or none, got 'x'"),
        (
            Literal["var", "diff"],
            "dif",
            "--x: expected one of 'var', 'diff', got 'dif', did you mean 'diff'?",
        ),
        (tuple[int, ...], "1,b", "--x: expected a list, each an integer, got '1,b'"),
        (tuple[int, int], "1", "--x: expected 2 values: an integer, an integer, got '1'"),
        (int, "{a: 1}", "--x: expected an integer, got {'a': '1'}"),
    ],
)
def test_a_wrong_type_is_one_sentence(flags, type_, text, sentence):
    with pytest.raises(InputError) as caught:
        ConfigManager([flags(f"--x={text}")]).get("x", type_)
    assert str(caught.value) == sentence


def test_a_function_is_named_by_its_module_or_given(flags):
    type_ = Callable[[Any], Any] | None
    assert ConfigManager([flags("--x=os.path:join")]).get("x", type_) is os.path.join
    assert ConfigManager({"x": len}).get("x", type_) is len
    assert ConfigManager([flags("--x=none")]).get("x", type_) is None
    for given, sentence in [
        ("join", "--x: expected a function as package.module:function or none, got 'join'"),
        ("os.path:jon", "--x: the module 'os.path' has no 'jon', did you mean 'join'?"),
        ("os:sep", "--x: expected a class or function, but 'os:sep' is '/'"),
    ]:
        with pytest.raises(InputError) as caught:
            ConfigManager([flags(f"--x={given}")]).get("x", type_)
        assert str(caught.value) == sentence
    with pytest.raises(InputError, match=r"x: expected a function as .* or none, got {'a': True}"):
        ConfigManager({"x": {"a": True}}).get("x", type_)


def test_a_bare_flag_is_true_and_nothing_else(flags):
    assert ConfigManager([flags("--x")]).get("x", bool) is True
    with pytest.raises(InputError, match="--x: a value is missing, expected an integer"):
        ConfigManager([flags("--x")]).get("x", int)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("-1", "--x: expected an integer >= 0 and <= 9, got '-1'"),
        ("10", "--x: expected an integer >= 0 and <= 9, got '10'"),
    ],
)
def test_ranges(flags, value, sentence):
    with pytest.raises(InputError) as caught:
        ConfigManager([flags(f"--x={value}")]).get("x", 3, min=0, max=9)
    assert str(caught.value) == sentence


def test_exclusive_bounds_hold_for_each_number_of_a_tuple(flags):
    with pytest.raises(InputError, match=r"each a number > 0 and < 1, got '0.5,1'"):
        ConfigManager([flags("--x=0.5,1")]).get("x", tuple[float, ...], above=0, below=1)


def test_python_values_are_not_mistaken():
    cfg = ConfigManager({"truth": True, "one": np.float64(1.0), "word": 3, "none": None, "path": Path("a")})
    assert cfg.get("one", float) == 1.0
    assert cfg.get("none", int | None) is None
    assert cfg.get("path", str) == "a"
    with pytest.raises(InputError, match="truth: expected an integer, got True"):
        cfg.get("truth", int)
    with pytest.raises(InputError, match="word: expected a word, got 3"):
        cfg.get("word", str)


def test_what_is_required_and_absent():
    with pytest.raises(InputError, match="x is required: expected a number > 0"):
        ConfigManager().get("x", float, above=0)


def test_objects_made_in_python_check_their_own_settings():
    @dataclass(frozen=True)
    class Metropolis:
        moves: int = setting(10, min=1)
        mode: Literal["all", "single"] = "all"

        def __post_init__(self) -> None:
            check_settings(self)

    Metropolis(3, "single")
    with pytest.raises(InputError, match=r"Metropolis.moves: expected an integer >= 1, got 0"):
        Metropolis(0)
    with pytest.raises(ValueError, match=r"Metropolis.mode: expected one of 'all', 'single', got 'both'"):
        Metropolis(1, "both")  # type: ignore[arg-type]
