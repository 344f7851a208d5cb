"""What a run of many structures says while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from adiabat.report.live_line import LiveLine
from adiabat.report.progress import duration


@runtime_checkable
class Watched(Protocol):
    """What is looked at: a `Tally`."""

    def progress(self) -> Any:
        """How far the run has come."""


class LiveStructures(LiveLine):
    """Shows how many structures are done, active, queued and failed, steps and atom-steps a second, and occupancy.

    Parameters are those of `LiveLine`, and first

    tally : Tally
        What the run counts.
    """

    def __init__(self, tally: Watched, console: Any = None, **options: Any) -> None:
        super().__init__(console, **options)
        self._tally = tally
        self._last: Any = None
        self._first: Any = None

    def on_progress(self, step: int, driver: Any) -> None:
        """Look at the tally."""
        del step, driver
        now = self._tally.progress()
        with self._lock:
            self._last = now
            self._first = self._first or now
        self.progressed()

    def parts(self) -> list[str]:
        """As of the last look."""
        now = self._last
        if now is None:
            return []
        counts = now.counts
        total = sum(counts.values())
        parts = [f"{counts['done']}/{total} done", f"{counts['active']} active", f"{counts['queued']} queued"]
        parts += [f"{counts[name]} {name}" for name in ("unfinished", "failed") if counts[name]]
        if now.steps_per_second:
            parts.append(f"{compact(now.steps_per_second)} steps/s")
            parts.append(f"{compact(now.atom_steps_per_second)} atom-steps/s")
        parts.append(f"slots {100 * now.occupancy:.0f} % full")
        # From the first look on: before it programs were compiled, or an earlier process did the work.
        ended, ended_then = _ended(counts), _ended(self._first.counts)
        seconds = now.seconds - self._first.seconds
        if ended_then < ended < total and seconds > 0:
            parts.append(f"about {duration(seconds / (ended - ended_then) * (total - ended))} left")
        return parts

    def position(self) -> tuple[int | None, int]:
        """Structures that have ended, of all."""
        if self._last is None:
            return None, 0
        counts = self._last.counts
        return sum(counts.values()), _ended(counts)


def _ended(counts: Mapping[str, int]) -> int:
    return sum(counts.values()) - counts["active"] - counts["queued"]


def compact(number: float) -> str:
    """A rate to read: 0.52, 31, 4.2 k, 1.7 M."""
    for factor, letter in ((1e6, " M"), (1e3, " k")):
        if number >= factor:
            return f"{number / factor:.3g}{letter}"
    return f"{number:.2g}" if number < 10 else f"{number:.0f}"
