"""Rows as CSV, the format everything reads."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from typing import IO, Any

from adiabat.io.atomic import atomic_file
from adiabat.io.writers.base import Row
from adiabat.io.writers.text_file import TextWriter

__all__ = ["CSVWriter"]


class CSVWriter(TextWriter):
    """A header and one line for each row. A number is written with as many digits as it has.

    A name that first appears in a later row becomes one more column: the file is rewritten once, with empty
    fields in the rows before.
    """

    suffix = ".csv"
    _columns: tuple[str, ...] = ()

    def _read_header(self, file: IO[bytes]) -> int:
        line = file.readline()
        complete = line.endswith(b"\n")
        self._columns = tuple(_fields(line)) if complete else ()
        return len(line) if complete else 0

    def _step_of(self, line: bytes) -> int | None:
        fields = _fields(line)
        if len(fields) != len(self._columns):
            return None
        try:
            return int(fields[self._columns.index("step")])
        except ValueError:
            return None

    def _write(self, rows: Sequence[Row]) -> None:
        names = dict.fromkeys([*self._columns, *(name for row in rows for name in row)])
        if len(names) > len(self._columns):
            self._widen(tuple(names))
        super()._write(rows)

    def _line(self, row: Row) -> str:
        return _joined([_text(row.get(name)) for name in self._columns])

    def _widen(self, columns: tuple[str, ...]) -> None:
        """Rewrite the file with more columns at the end, whole or not at all."""
        assert self._file is not None, "the writer is not open"
        missing = "," * (len(columns) - len(self._columns))
        self._file.seek(0)
        with atomic_file(self.path) as wider:
            wider.write(_joined(columns).encode())
            if self._columns:
                self._file.readline()
                for line in self._file:
                    wider.write(line.rstrip(b"\n") + missing.encode() + b"\n")
        self._file.close()
        self._columns = columns
        self._file = open(self.path, "ab+")  # noqa: SIM115 - closed by close()
        self._file.seek(0, os.SEEK_END)


def _fields(line: bytes) -> list[str]:
    return next(csv.reader([line.decode(errors="replace").rstrip("\n")]), [])


def _joined(fields: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(fields)
    return buffer.getvalue()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return json.dumps(value)
    return repr(value) if isinstance(value, (float, complex)) else str(value)
