"""Finished systems in one HDF5 file, which is never seen half-written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.sinks.hdf5_file import HDF5File
from adiabat.atoms.sinks.sink import Sink
from adiabat.io.atomic import output_errors

__all__ = ["HDF5Sink"]


class HDF5Sink(Sink):
    """All systems in an `HDF5File`: what was written since the last `sync` waits in memory.

    Args:
        path: the file; a sink goes on where it ends.
        capacity: how many systems it takes; any number by default.

    Raises:
        InputError: the file holds something else, or a field has another shape or type than in the file.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: str | Path, capacity: int | None = None) -> None:
        super().__init__(capacity)
        self.path = Path(path)
        self._file = HDF5File(self.path)
        self._found(self._file.system_ids, self.path)

    def sync(self) -> None:
        with output_errors(self.path):
            self._file.sync()

    def __iter__(self) -> Iterator[AtomicData]:
        return iter(self._file)

    def _append(self, records: Sequence[AtomicData]) -> None:
        with output_errors(self.path):
            self._file.append(records)

    def _read(self, record: int) -> AtomicData:
        return self._file.read(record)

    def _truncate(self, n_records: int) -> None:
        with output_errors(self.path):
            self._file.truncate(n_records)
