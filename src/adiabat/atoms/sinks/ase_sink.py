"""Finished systems in a file that ASE reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.sinks.frame_files import ExtxyzFile, FrameFile, TrajectoryFile
from adiabat.atoms.sinks.sink import Sink
from adiabat.io.atomic import output_errors

__all__ = ["ASESink"]


class ASESink(Sink):
    """One frame a system, with its `system_id` in the frame's info.

    In extxyz numbers have full precision and are float64, int32 (in columns) and int64 (in info) when they are read
    back. ASE's trajectories have no columns for a user's own fields of atoms. Every write reaches the file at once;
    what a killed process left of a last record is removed on opening.

    Args:
        path: the file: a trajectory if it ends in .traj, else extxyz.
        capacity: how many systems it takes; any number by default.

    Raises:
        InputError: the file holds something else.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: str | Path, capacity: int | None = None) -> None:
        super().__init__(capacity)
        self.path = Path(path)
        with output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: FrameFile = (TrajectoryFile if self.path.suffix == ".traj" else ExtxyzFile)(self.path)
        self._found(self._file.system_ids, self.path)

    def sync(self) -> None:
        with output_errors(self.path):
            self._file.sync()

    def _append(self, records: Sequence[AtomicData]) -> None:
        with output_errors(self.path):
            self._file.append(records)

    def _read(self, record: int) -> AtomicData:
        return self._file.read(record)

    def _truncate(self, n_records: int) -> None:
        with output_errors(self.path):
            self._file.truncate(n_records)
