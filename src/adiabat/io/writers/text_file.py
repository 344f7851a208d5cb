"""What writers of lines of text share: appending, and cutting off at a step."""

from __future__ import annotations

import abc
import os
from collections.abc import Sequence
from typing import IO

from adiabat.io.writers.base import Row, RowWriter

__all__ = ["TextWriter"]


class TextWriter(RowWriter):
    """A file with one line for each row, appended to and flushed block by block."""

    _file: IO[bytes] | None = None

    def _open(self, resume_step: int) -> None:
        self._file = open(self.path, "ab+")  # noqa: SIM115 - closed by close()
        self._file.seek(0)
        self._file.truncate(self._kept(self._file, resume_step))
        self._file.seek(0, os.SEEK_END)

    def _kept(self, file: IO[bytes], resume_step: int) -> int:
        """How many bytes to keep: up to the first line that is incomplete, no row, or of a later step."""
        kept = self._read_header(file)
        for line in file:
            step = self._step_of(line) if line.endswith(b"\n") else None
            if step is None or step >= resume_step:
                break
            kept += len(line)
        return kept

    def _write(self, rows: Sequence[Row]) -> None:
        assert self._file is not None, "the writer is not open"
        text = "".join(self._line(row) for row in rows)
        self._file.write(text.encode())
        self._file.flush()

    def _sync(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_header(self, file: IO[bytes]) -> int:
        """Read what comes before the rows; returns its length in bytes."""
        del file
        return 0

    @abc.abstractmethod
    def _step_of(self, line: bytes) -> int | None:
        """The step of a row; None if the line is no row."""

    @abc.abstractmethod
    def _line(self, row: Row) -> str:
        """A row as a line."""
