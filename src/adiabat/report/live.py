"""What a run of one system says while it runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from adiabat.report.live_line import LiveLine
from adiabat.report.progress import StageProgress

# The parameters move while they are trained, so only the last steps say where the energy is.
TRAINING_WINDOW = 100


class LiveProgress(LiveLine):
    """Shows stage, step, time left, energy with its error, variance, acceptance and lost walkers.

    Parameters are those of `LiveLine`, and

    averaged : collection of str
        Stages whose energy is averaged over all their steps, not over the last ones.
    """

    def __init__(self, console: Any = None, *, averaged: Collection[str] = ("evaluate",), **options: Any) -> None:
        super().__init__(console, **options)
        self.averaged = averaged
        self._stage: StageProgress | None = None

    def on_rows(self, rows: Sequence[dict[str, Any]], driver: Any) -> None:
        """Take in the steps that were done."""
        for row in rows:
            if self._stage is None or row.get("stage") != self._stage.name:
                self._leave_stage()
                self._enter_stage(str(row.get("stage", "")), driver)
            with self._lock:
                if self._stage is not None:
                    self._stage.add(row)
        self.progressed()

    def parts(self) -> list[str]:
        """How the stage stands."""
        return [] if self._stage is None else self._stage.parts()

    def position(self) -> tuple[int | None, int]:
        """Steps of the stage."""
        return (None, 0) if self._stage is None else (self._stage.total, self._stage.step)

    def _enter_stage(self, name: str, driver: Any) -> None:
        stage = {sub.label: sub.stage for sub in driver.stage.sub_stages}.get(name)
        total = None if stage is None else stage.n_steps
        target = None if stage is None else getattr(stage.convergence, "threshold", None)
        window = None if name in self.averaged else TRAINING_WINDOW
        with self._lock:
            self._stage = StageProgress(name, total, window, target)

    def _leave_stage(self) -> None:
        """Let the last line of the stage stand."""
        self.say_progress()
        with self._lock:
            self._stage = None

    def _close(self) -> None:
        super()._close()
        self._stage = None
