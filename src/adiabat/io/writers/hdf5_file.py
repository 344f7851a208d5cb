"""Rows as HDF5: one dataset a column, for keeping and for large analyses."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adiabat.io.atomic import atomic_file
from adiabat.io.writers.base import Row, RowWriter

__all__ = ["HDF5Writer"]

MOST_ROWS = 65536
LONGEST_WAIT = 120.0


class HDF5Writer(RowWriter):
    """One extendable dataset for each name; rows without a name have nan (or 0, or "") there.

    HDF5 files do not survive being killed while they change, so rows wait in memory until `sync` (before
    every checkpoint, and now and then), which appends them to a copy of the file that then takes its place.
    """

    suffix = ".h5"

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._waiting: list[Row] = []
        self._kept = 0
        self._last = time.monotonic()

    def _open(self, resume_step: int) -> None:
        import h5py

        self._waiting, self._kept, self._last = [], 0, time.monotonic()
        if self.path.exists():
            with h5py.File(self.path, "r") as file:
                steps = file["step"][:] if "step" in file else np.zeros(0, int)
            self._kept = int(np.searchsorted(steps, resume_step))
            if self._kept < len(steps):
                self._append([])

    def _write(self, rows: Sequence[Row]) -> None:
        self._waiting += rows
        if len(self._waiting) >= MOST_ROWS or time.monotonic() - self._last > LONGEST_WAIT:
            self._sync()

    def _sync(self) -> None:
        if self._waiting:
            self._append(self._waiting)
            self._waiting = []
        self._last = time.monotonic()

    def _close(self) -> None:
        pass

    def _append(self, rows: Sequence[Row]) -> None:
        """Put a copy of the file in its place that has the rows to keep and these after them."""
        import h5py

        names = dict.fromkeys(name for row in rows for name in row)
        with atomic_file(self.path) as target:
            temporary = Path(target.name)
            if self.path.exists():
                shutil.copyfile(self.path, temporary)
            with h5py.File(temporary, "a" if temporary.stat().st_size else "w") as file:
                for name in dict.fromkeys((*file, *names)):
                    self._extend(file, name, [row.get(name) for row in rows])
        self._kept += len(rows)

    def _extend(self, file: Any, name: str, values: list[Any]) -> None:
        import h5py

        known = [value for value in values if value is not None]
        if name not in file:
            text = any(isinstance(value, str) for value in known)
            shape = () if text else np.shape(known[0])
            dtype = h5py.string_dtype() if text else np.result_type(*{np.asarray(value).dtype for value in known})
            empty = (self._kept, *shape)
            file.create_dataset(
                name, empty, dtype, maxshape=(None, *shape), chunks=(1024, *shape), fillvalue=_nothing(dtype)
            )
        column = file[name]
        nothing = np.broadcast_to(np.asarray(_nothing(column.dtype)), column.shape[1:])
        column.resize(self._kept, axis=0)
        column.resize(self._kept + len(values), axis=0)
        if values:
            column[self._kept :] = [nothing if value is None else value for value in values]


def _nothing(dtype: Any) -> Any:
    return np.nan if np.dtype(dtype).kind in "fc" else "" if np.dtype(dtype).kind == "O" else 0
