"""What every writer of rows does: go on from a step, append rows, bring them to disk."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from adiabat.errors import InputError
from adiabat.io.atomic import output_errors

__all__ = ["Row", "RowWriter", "row_writer"]

Row = Mapping[str, Any]


class RowWriter(abc.ABC):
    """Appends rows (dicts with a `step`, ascending) to one file.

    On `open`, rows of the resume step and later are removed, together with a last row that a killed process
    left
    incomplete: the resumed run writes them again.
    """

    suffix: ClassVar[str]

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def open(self, resume_step: int = 0) -> None:
        """Keep the rows of steps before `resume_step` and get ready to append.

        Raises:
            OutputError: the file cannot be written.
        """
        with output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open(resume_step)

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows. They survive the death of the process, for files of text."""
        with output_errors(self.path):
            self._write(rows)

    def sync(self) -> None:
        """Bring all rows to disk, so that they survive the death of the machine."""
        with output_errors(self.path):
            self._sync()

    def close(self) -> None:
        """Bring all rows to disk and close the file."""
        with output_errors(self.path):
            self._sync()
            self._close()

    @abc.abstractmethod
    def _open(self, resume_step: int) -> None: ...

    @abc.abstractmethod
    def _write(self, rows: Sequence[Row]) -> None: ...

    @abc.abstractmethod
    def _sync(self) -> None: ...

    @abc.abstractmethod
    def _close(self) -> None: ...


def row_writer(kind: str, folder: Path | str, stage: str) -> RowWriter:
    """The writer of a kind (csv, jsonl, hdf5) for a stage's rows: <folder>/<stage>.<suffix>."""
    from adiabat.io.writers.csv_file import CSVWriter
    from adiabat.io.writers.hdf5_file import HDF5Writer
    from adiabat.io.writers.json_lines import JSONLinesWriter

    kinds: dict[str, type[RowWriter]] = {"csv": CSVWriter, "jsonl": JSONLinesWriter, "hdf5": HDF5Writer}
    if kind not in kinds:
        raise InputError(f"there is no writer {kind!r}; expected one of {', '.join(kinds)}")
    return kinds[kind](Path(folder) / f"{stage}{kinds[kind].suffix}")
