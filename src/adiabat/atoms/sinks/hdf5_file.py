"""A file of records in HDF5 that grows at its end, and is never seen half-written."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.sinks.frame_files import FrameFile
from adiabat.atoms.sinks.hdf5_records import FORMAT, append_records, keep_records, read_records, stored_fields
from adiabat.atoms.user_fields import UserField, fields_of, merged
from adiabat.errors import InputError
from adiabat.io.atomic import atomic_file

__all__ = ["HDF5File"]

MOST_WAITING = 1000
LONGEST_WAIT = 30.0
BLOCK = 1000  # records that are read at once


class HDF5File(FrameFile):
    """Datasets `positions`, `energy`, ... with all systems one after the other, as `hdf5_records` says.

    HDF5 files do not survive being killed while they change, so records wait in memory until `sync` (before every
    checkpoint, at the end, and now and then), which appends them to a copy of the file that then takes its place.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[AtomicData] = []
        self._last = time.monotonic()
        self._fields: dict[str, UserField] = {}
        self._n_stored = 0
        self.system_ids = []
        if path.exists():
            self._open()

    def append(self, records: Sequence[AtomicData]) -> None:
        fields = merged([(f"'{self._path}'", self._fields), ("the batch", fields_of(records))])
        for name, field in self._fields.items():
            if fields[name].dtype != field.dtype:
                there = f"in '{self._path}' it is {field.dtype}"
                raise InputError(f"the field {name!r} is {fields[name].dtype} and {there}")
        before = self._waiting, self._fields
        self._waiting, self._fields = [*self._waiting, *records], fields
        if len(self._waiting) >= MOST_WAITING or time.monotonic() - self._last > LONGEST_WAIT:
            try:
                self.sync()
            except BaseException:
                self._waiting, self._fields = before
                raise

    def read(self, record: int) -> AtomicData:
        if record >= self._n_stored:
            return self._waiting[record - self._n_stored]
        import h5py

        with h5py.File(self._path, "r") as file:
            return read_records(file, record, record + 1)[0]

    def __iter__(self) -> Iterator[AtomicData]:
        import h5py

        if self._n_stored:
            with h5py.File(self._path, "r") as file:
                for start in range(0, self._n_stored, BLOCK):
                    yield from read_records(file, start, min(start + BLOCK, self._n_stored))
        yield from self._waiting

    def truncate(self, n_records: int) -> None:
        del self._waiting[max(n_records - self._n_stored, 0) :]
        if n_records < self._n_stored:
            self._store([], keep=n_records)
            self._n_stored = n_records

    def integers(self, name: str) -> list[int]:
        if not self._n_stored:
            return []
        import h5py

        with h5py.File(self._path, "r") as file:
            rows = file.get(f"system_fields/{name}")
            if rows is None:
                raise InputError(f"the records of '{self._path}' have no {name}: name another file")
            found: list[int] = rows[:].tolist()
        return found

    def sync(self) -> None:
        if self._waiting:
            self._store(self._waiting)
            self._n_stored += len(self._waiting)
            self._waiting = []
        self._last = time.monotonic()

    def _open(self) -> None:
        import h5py

        try:
            with h5py.File(self._path, "r") as file:
                if file.attrs.get("format") != FORMAT:
                    raise InputError(f"'{self._path}' is no file of systems that was written here: name another file")
                self.system_ids = file["system_id"][:].tolist()
                self._fields = stored_fields(file)
        except OSError as error:
            raise InputError(f"'{self._path}' cannot be read as HDF5 ({error}): name another file") from error
        self._n_stored = len(self.system_ids)

    def _store(self, records: Sequence[AtomicData], keep: int | None = None) -> None:
        """Put a copy of the file in its place that has the first `keep` of its records, or all, and these besides."""
        import h5py

        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._path) as target:
            temporary = Path(target.name)
            if self._path.exists():
                shutil.copyfile(self._path, temporary)
            with h5py.File(temporary, "a" if temporary.stat().st_size else "w") as file:
                if keep is not None:
                    keep_records(file, keep)
                append_records(file, records, self._fields)
