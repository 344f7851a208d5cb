"""log.txt of a run: what happened when, for people."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from adiabat.engine import AbstractCallback
from adiabat.io.atomic import output_errors

if TYPE_CHECKING:
    from adiabat.engine import Driver


class RunLog(AbstractCallback):
    """Writes the events of a run as dated lines."""

    def __init__(self, path: Path, *, append: bool) -> None:
        self.path = path
        if not append:
            with output_errors(path):
                path.write_text("")

    @property
    def callback_order(self) -> int:
        """As loggers."""
        return 10

    def say(self, text: str) -> None:
        """Write a line."""
        with output_errors(self.path), self.path.open("a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def on_event(self, kind: str, message: str, driver: Driver) -> None:
        """Write what happened."""
        del driver
        self.say(message if kind != "compile_started" else f"{message} ...")
