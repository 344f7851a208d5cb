"""Finished systems in memory."""

from __future__ import annotations

from collections.abc import Sequence

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.sinks.sink import Sink

__all__ = ["MemorySink"]


class MemorySink(Sink):
    """A list of systems, which ends with the process."""

    def __init__(self, capacity: int | None = None) -> None:
        super().__init__(capacity)
        self._records: list[AtomicData] = []

    def _append(self, records: Sequence[AtomicData]) -> None:
        self._records += records

    def _read(self, record: int) -> AtomicData:
        return self._records[record]

    def _truncate(self, n_records: int) -> None:
        del self._records[n_records:]
