"""Kinds and sections that the tests of the configuration choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from adiabat.config import FAMILIES, Kind, setting, wired
from adiabat.errors import InputError


@dataclass(frozen=True)
class Standard:
    rate: float = setting(0.05, above=0, help="value at step 0")
    delay: float = setting(2000.0, above=0, unit="steps")
    decay: float = setting(1.0, min=0)


Schedule = float | Standard


@dataclass(frozen=True)
class SR:
    learning_rate: Schedule = setting(Standard(rate=0.1), kind="schedules", above=0, help="length of a step")
    damping: float = setting(1e-3, min=0, help="added to the Gram matrix")
    max_norm: Schedule | Literal["fixed"] | None = setting(None, kind="schedules", above=0)
    march_mode: Literal["var", "diff"] = "var"
    eps: float = 1e-8
    f_log_psi: Callable | None = wired()


@dataclass(frozen=True)
class Adam:
    learning_rate: Schedule = setting(1e-3, kind="schedules", above=0)
    b1: float = setting(0.9, min=0, below=1)


class Plain:
    """No dataclass: its settings are the keywords of its constructor."""

    def __init__(self, width: float, moves: int = 10) -> None:
        self.width, self.moves = width, moves


def of_the_shop(name: str) -> type:
    """What another package makes of a name."""
    if name != "wide":
        raise InputError(f"the shop has no '{name}'")
    return Plain


@dataclass(frozen=True)
class CSV:
    every: int = setting(1, min=1)


@dataclass(frozen=True)
class Console:
    fields: tuple[str, ...] = ("energy",)


def register(monkeypatch) -> None:
    """Put the kinds of this file into the table, for the length of a test."""
    for family, name, cls in [
        ("optimizers", "sr", SR),
        ("optimizers", "adam", Adam),
        ("schedules", "standard", Standard),
        ("writers", "csv", CSV),
        ("writers", "console", Console),
    ]:
        kind = Kind(f"{cls.__module__}:{cls.__qualname__}", "of the tests")
        monkeypatch.setitem(FAMILIES[family].kinds, name, kind)
