"""Rows as plain lines for people, every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from adiabat.io.writers.base import Row

__all__ = ["ConsoleLines"]


class ConsoleLines:
    """Prints the newest row every `interval` seconds: stage, step, and the columns asked for (None: all
    numbers).

    `stream` is a text file; standard error if none is given.
    """

    def __init__(self, columns: Sequence[str] | None = None, *, interval: float = 5.0, stream: Any = None) -> None:
        self.columns = columns
        self.interval = interval
        self._stream = stream
        self._next = 0.0

    def write(self, rows: Sequence[Row]) -> None:
        """Print the last row, if the interval has passed."""
        if rows and time.monotonic() >= self._next:
            self._next = time.monotonic() + self.interval
            stream = self._stream or sys.stderr
            stream.write(self._line(rows[-1]) + "\n")
            stream.flush()

    def _line(self, row: Row) -> str:
        hidden = ("step", "stage", "stage_step", "attempt", "seconds")
        names = self.columns if self.columns is not None else [name for name in row if name not in hidden]
        shown = [f"{name} {_short(row[name])}" for name in names if name in row]
        return f"{row.get('stage', '')} {row['stage_step' if 'stage_step' in row else 'step']}: {', '.join(shown)}"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
