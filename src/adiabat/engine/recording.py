"""The callback that hands rows of metrics to writers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adiabat.engine.callbacks import Rows, WritingCallback
from adiabat.io.writers import ConsoleLines, RowWriter, row_writer

if TYPE_CHECKING:
    from adiabat.engine.driver import Driver

__all__ = ["MetricsRecorder"]


class MetricsRecorder(WritingCallback):
    """Writes every row to <folder>/<stage>.<kind> for each kind of file (csv, jsonl, hdf5).

    When a run starts, what the files hold of its first step and later is cut off: a resumed run writes it
    again. With `run`, every row begins with that name of the run; `console` shows the newest row now and
    then.
    """

    def __init__(
        self,
        folder: Path | str,
        kinds: Sequence[str] = ("csv", "jsonl"),
        *,
        run: str | None = None,
        console: ConsoleLines | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.kinds = tuple(kinds)
        self.run = run
        self.console = console
        self._writers: dict[tuple[str, str], RowWriter] = {}
        self._start = 0
        for kind in self.kinds:
            row_writer(kind, self.folder, "checked")

    @property
    def callback_order(self) -> int:
        """Loggers come last."""
        return 10

    def on_run_start(self, step: int, driver: Driver) -> None:
        """Cut off what files of earlier runs hold beyond the first step."""
        del driver
        self._start = step
        for kind in self.kinds:
            suffix = row_writer(kind, self.folder, "any").suffix
            for path in sorted(self.folder.glob(f"*{suffix}")):
                self._writer(kind, path.stem)

    def on_rows(self, rows: Rows, driver: Driver) -> None:
        """Write the rows, each to the files of its stage."""
        del driver
        if self.console is not None:
            self.console.write(rows)
        named = rows if self.run is None else [{"run": self.run, **row} for row in rows]
        for stage in dict.fromkeys(row["stage"] for row in named):
            block = [row for row in named if row["stage"] == stage]
            for kind in self.kinds:
                self._writer(kind, stage).write(block)

    def _sync(self) -> None:
        for writer in self._writers.values():
            writer.sync()

    def _writer(self, kind: str, stage: str) -> RowWriter:
        if (kind, stage) not in self._writers:
            writer = row_writer(kind, self.folder, stage)
            writer.open(self._start)
            self._writers[kind, stage] = writer
        return self._writers[kind, stage]

    def _close(self) -> None:
        writers, self._writers = list(self._writers.values()), {}
        for writer in writers:
            writer.close()
