"""How far a stage of a run is, and what it has found so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from adiabat.vmc.statistics import chain_error, format_with_error

MOST_BLOCKS = 256

# What is shown of the last row, beside the energy: its name there, its name here, and the number's format.
SHOWN = (
    ("energy_variance", "variance", ".3g"),
    ("loss", "loss", ".3g"),
    ("acceptance", "acceptance", ".2f"),
)


class StageProgress:
    """The state of one stage, from the rows of its steps.

    Parameters
    ----------
    name : str
        The stage.
    total : int or None
        Steps it will do, if that is known.
    target : float or None
        Error bar of the energy at which it ends.
    window : int or None
        Average the energy over so many of the last steps; None: over all steps.
    """

    def __init__(self, name: str, total: int | None, window: int | None, target: float | None = None) -> None:
        self.name = name
        self.total = total
        self.target = target
        self.step = 0
        self.lost = 0
        self._last: Mapping[str, Any] = {}
        self._seconds: deque[float] = deque(maxlen=100)
        self._window = window
        self._energies: deque[float] = deque(maxlen=window)  # means of blocks of steps
        self._block: list[float] = []
        self._block_length = 1

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in the row of one step."""
        self._last = row
        self.step = int(row.get("stage_step", self.step)) + 1
        self.lost += int(row.get("nonfinite") or 0)
        if row.get("seconds"):
            self._seconds.append(float(row["seconds"]))
        if row.get("energy") is not None:
            self._add_energy(float(row["energy"]))

    def _add_energy(self, energy: float) -> None:
        self._block.append(energy)
        if len(self._block) < self._block_length:
            return
        self._energies.append(sum(self._block) / self._block_length)
        self._block = []
        if self._window is None and len(self._energies) == MOST_BLOCKS:
            pairs = np.array(self._energies).reshape(-1, 2).mean(axis=1)
            self._energies = deque(pairs.tolist())
            self._block_length *= 2

    def parts(self) -> list[str]:
        """What there is to say, item by item: ``train 1200/5000``, ``0:31 left``, ``energy -8.0702(11)``,
        ..."""
        energies = np.array(self._energies)
        error = chain_error(energies[:, None]).error if self._energies else float("nan")
        total = self._expected_steps(error)
        parts = [f"{self.name} {self.step}" + (f"/{total}" if total and self.target is None else "")]
        if total and self._seconds and self.step < total:
            parts.append(f"{duration((total - self.step) * float(np.mean(self._seconds)))} left")
        if self._energies:
            parts.append(f"energy {format_with_error(float(energies.mean()), error)}")
        parts += [
            f"{label} {self._last[name]:{form}}" for name, label, form in SHOWN if self._last.get(name) is not None
        ]
        if "nonfinite" in self._last:
            parts.append(f"walkers lost {self.lost}")
        if fallbacks := self._last.get("solver_fallbacks"):
            parts.append(f"solver fell back {fallbacks:.0f} times")
        return parts

    def _expected_steps(self, error: float) -> int | None:
        """Steps it will do in all. With a target, as the error bar falls with their root; None: too early to say."""
        if self.target is None:
            return self.total
        if not np.isfinite(error):
            return None
        expected = max(round(self.step * (error / self.target) ** 2), self.step)
        return min(expected, self.total) if self.total else expected


def duration(seconds: float) -> str:
    """A time to read: ``0:07``, ``12:34`` or ``3:04:05``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
