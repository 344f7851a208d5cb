"""What hooks share that write a file in the course of a run."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import TYPE_CHECKING

from adiabat.engine import WritingCallback, checked_frequency

if TYPE_CHECKING:
    from adiabat.engine import Driver, MetricRow

__all__ = ["FileHook"]


class FileHook(WritingCallback):
    """Opens its file when a run starts, brings it to disk before every checkpoint, and closes it when the run ends.

    A run appends to what is there. Only a run that was asked to resume (`Driver.restore`) has the file to itself: what
    it holds of steps after the one to go on from is cut off and written again, so that in the end the file is that of a
    run that was never interrupted. Errors of the file system end the run with an `OutputError`.

    Args:
        path: the file.
        frequency: every so many steps of a system, counted from its admission; the step at which it ends counts too.

    Raises:
        InputError: the frequency is no positive integer.
    """

    def __init__(self, path: str | Path, frequency: int = 1) -> None:
        self.path = Path(path)
        self.frequency = checked_frequency(frequency, type(self).__name__)

    @property
    def callback_order(self) -> int:
        """Those that write come last."""
        return 10

    def on_run_start(self, step: int, driver: Driver) -> None:
        """Open the file; cut off what it holds beyond this step, if it is to be written again."""
        self._open(step if driver.resuming else None, driver)

    def __repr__(self) -> str:
        every = "" if self.frequency == 1 else f", every {self.frequency} steps"
        return f"{type(self).__name__}('{self.path}'{every})"

    @staticmethod
    def _ended(row: MetricRow, driver: Driver) -> bool:
        """Whether a system ended with the step of this row."""
        return row.newest and not driver.moving[row.slot]

    @abc.abstractmethod
    def _open(self, resume_step: int | None, driver: Driver) -> None:
        """Get ready to append; to what was written up to this step, if it is given."""
