"""One live line on a terminal, a plain line every few seconds elsewhere; what every kind of run shares of it."""

from __future__ import annotations

import abc
import threading
import time
from typing import Any

from adiabat.engine import AbstractCallback

__all__ = ["LiveLine"]

# Events worth a line of their own. The others only interest someone who looks for trouble.
ALWAYS_SAID = ("compile_finished", "rejection", "checkpoint_damaged", "resumed", "interrupted")
NEVER_SAID = ("compile_started", "stage_left")


class LiveLine(AbstractCallback, abc.ABC):
    """A subclass says in `parts` how things stand, and calls `progressed` when that has changed.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to write; standard error by default. Whether it is a terminal decides the form.
    interval : float
        Seconds between two plain lines.
    verbose : bool
        Say also when checkpoints are written and stages entered.
    """

    def __init__(self, console: Any = None, *, interval: float = 5.0, verbose: bool = False) -> None:
        from rich.console import Console

        self.console = console or Console(stderr=True)
        self.interval = interval
        self.verbose = verbose
        self._compiling: dict[str, float] = {}  # what is being compiled, and since when
        # Programs may be compiled in threads, and rich draws in one. Never held while printing: rich has a
        # lock too.
        self._lock = threading.Lock()
        self._live: Any = None
        self._said = ""
        self._said_at = -float("inf")

    @abc.abstractmethod
    def parts(self) -> list[str]:
        """How things stand, item by item; nothing before the first step. The lock is held."""

    @abc.abstractmethod
    def position(self) -> tuple[int | None, int]:
        """How much there is to be done, if that is known, and how much of it is done. The lock is held."""

    @property
    def callback_order(self) -> int:
        """As loggers."""
        return 10

    def on_run_start(self, step: int, driver: Any) -> None:
        """Open the live line."""
        if self.console.is_terminal and self._live is None:
            from rich.live import Live

            self._live = Live(console=self.console, get_renderable=self._render, transient=True)
            self._live.start()

    def on_event(self, kind: str, message: str, driver: Any) -> None:
        """Say what happened, or note what is being compiled."""
        if kind == "compile_started":
            with self._lock:
                self._compiling[message.removeprefix("compiling ")] = time.monotonic()
            if self._live is None:
                self._say(f"{message} ...")
        elif kind == "compile_finished":
            with self._lock:
                self._compiling.pop(message.removeprefix("compiled ").rpartition(" in ")[0], None)
        if kind in ALWAYS_SAID or (self.verbose and kind not in NEVER_SAID):
            self._say(message)

    def on_run_end(self, step: int, driver: Any) -> None:
        """Close the live line."""
        self._close()

    def on_run_error(self, step: int, error: BaseException, driver: Any) -> None:
        """Close the live line."""
        self._close()

    def progressed(self) -> None:
        """Say how things stand, where there is no live line and some time has passed."""
        if self._live is None and time.monotonic() - self._said_at >= self.interval:
            self.say_progress()

    def say_progress(self) -> None:
        """Say how things stand, unless that was said before."""
        with self._lock:
            line = "  ".join(self.parts())
        if line and line != self._said:
            self._said, self._said_at = line, time.monotonic()
            self._say(line)

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        self.say_progress()
        self._compiling.clear()

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> Any:
        """The live line: a bar, how things stand, and what is being compiled."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            now = time.monotonic()
            parts, (total, done) = self.parts(), self.position()
            parts += [f"compiling {name} {now - since:.0f} s" for name, since in self._compiling.items()]
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=total, completed=done, width=16, pulse=total is None, animation_time=now)
        line.add_row(bar, Text(" · ".join(parts), no_wrap=True, overflow="ellipsis"))
        return line
