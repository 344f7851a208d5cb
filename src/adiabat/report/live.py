"""What a run says while it runs: one live line on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import Any

from adiabat.engine import AbstractCallback
from adiabat.report.progress import StageProgress

# Events worth a line of their own. The others only interest someone who looks for trouble.
ALWAYS_SAID = ("compile_finished", "rejection", "checkpoint_damaged", "resumed", "interrupted")
NEVER_SAID = ("compile_started", "stage_left")

# The parameters move while they are trained, so only the last steps say where the energy is.
TRAINING_WINDOW = 100


class LiveProgress(AbstractCallback):
    """Shows stage, step, time left, energy with its error, variance, acceptance and lost walkers.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to write; standard error by default. Whether it is a terminal decides the form.
    interval : float
        Seconds between two plain lines.
    verbose : bool
        Say also when checkpoints are written and stages entered.
    averaged : collection of str
        Stages whose energy is averaged over all their steps, not over the last ones.
    """

    def __init__(
        self,
        console: Any = None,
        *,
        interval: float = 5.0,
        verbose: bool = False,
        averaged: Collection[str] = ("evaluate",),
    ) -> None:
        from rich.console import Console

        self.console = console or Console(stderr=True)
        self.interval = interval
        self.verbose = verbose
        self.averaged = averaged
        self._stage: StageProgress | None = None
        self._compiling: dict[str, float] = {}  # what is being compiled, and since when
        # Programs may be compiled in threads, and rich draws in one. Never held while printing: rich has a
        # lock too.
        self._lock = threading.Lock()
        self._live: Any = None
        self._said = ""
        self._said_at = -float("inf")

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

    def on_rows(self, rows: list[dict[str, Any]], driver: Any) -> None:
        """Take in the steps that were done."""
        for row in rows:
            if self._stage is None or row.get("stage") != self._stage.name:
                self._leave_stage()
                self._enter_stage(str(row.get("stage", "")), driver)
            with self._lock:
                if self._stage is not None:
                    self._stage.add(row)
        if self._live is None and time.monotonic() - self._said_at >= self.interval:
            self._say_progress()

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

    def _enter_stage(self, name: str, driver: Any) -> None:
        stage = {sub.label: sub.stage for sub in driver.stage.sub_stages}.get(name)
        total = None if stage is None else stage.n_steps
        target = None if stage is None else getattr(stage.convergence, "threshold", None)
        window = None if name in self.averaged else TRAINING_WINDOW
        with self._lock:
            self._stage = StageProgress(name, total, window, target)

    def _leave_stage(self) -> None:
        """Let the last line of the stage stand."""
        self._say_progress()
        with self._lock:
            self._stage = None

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._leave_stage()
        self._compiling.clear()

    def _say_progress(self) -> None:
        with self._lock:
            line = "" if self._stage is None else "  ".join(self._stage.parts())
        if line and line != self._said:
            self._said, self._said_at = line, time.monotonic()
            self._say(line)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> Any:
        """The live line: a bar, how the stage stands, and what is being compiled."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            now = time.monotonic()
            parts = [] if self._stage is None else self._stage.parts()
            parts += [f"compiling {name} {now - since:.0f} s" for name, since in self._compiling.items()]
            total, step = (None, 0) if self._stage is None else (self._stage.total, self._stage.step)
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=total, completed=step, width=16, pulse=total is None, animation_time=now)
        line.add_row(bar, Text(" · ".join(parts), no_wrap=True, overflow="ellipsis"))
        return line
