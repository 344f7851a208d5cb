"""Where the atoms of every system go, frame by frame, in one file."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batching import index_select, to_data_list
from adiabat.atoms.hooks.file_hook import FileHook
from adiabat.atoms.hooks.snapshots import bare, labels
from adiabat.atoms.sinks.frame_files import ExtxyzFile, FrameFile, TrajectoryFile
from adiabat.atoms.sinks.hdf5_file import HDF5File
from adiabat.errors import InputError
from adiabat.io.atomic import output_errors

if TYPE_CHECKING:
    from adiabat.engine import Driver, Rows

__all__ = ["TrajectoryWriter", "read_trajectory"]

KINDS: dict[str, type[FrameFile]] = {
    ".xyz": ExtxyzFile, ".extxyz": ExtxyzFile, ".h5": HDF5File, ".hdf5": HDF5File, ".traj": TrajectoryFile
}  # fmt: skip
OURS = ("step", "system_step")


class TrajectoryWriter(FileHook):
    """A frame of each system at its own steps 0, f, 2f, ... and at its last one, in HDF5 or extxyz.

    Every frame says `system_id`, `status`, `step` (of the run), `system_step` (the system's own) and the `stage` that
    made it, and has positions, velocities, energy and forces; positions as they are, not wrapped into the cell unless
    `WrapPositions` is used. Frames are in the order of `step`. Registered at a sub-stage it writes the frames of that
    sub-stage. A compiled program returns at every step of which a frame is due, whichever system's it is. A system in
    flight that has converged before its first step makes no frame; its result is in the sinks.

    Extxyz files grow frame by frame. HDF5 files are copied whenever frames are added to them, in blocks and before
    every checkpoint: beyond a few gigabytes choose extxyz.

    Args:
        path: the file: .xyz or .extxyz, .h5 or .hdf5, or .traj for ASE's own format.
        frequency: f, in steps of a system.

    Raises:
        InputError: the frequency is no positive integer, the file is of another kind or holds something else, or the
        batch has a field of its own that is called `step` or `system_step`.
    """

    def __init__(self, path: str | Path, frequency: int = 1) -> None:
        super().__init__(path, frequency)
        _kind(self.path)
        self._file: FrameFile | None = None
        self._written: dict[int, int] = {}  # system id -> its own step of its newest frame
        self._driver: Any = lambda: None  # whose frames these are; weakly

    def on_program_start(self, step: int, driver: Driver) -> int | None:
        """Frames of those who begin; the number of steps until the next frame is due."""
        clock, moving = driver.state.clock, driver.moving
        if driver.current_mask is not None:
            moving = moving & driver.current_mask
        slots, ages = np.flatnonzero(moving), np.asarray(clock.age)
        if not len(slots):
            return None
        ids, status = np.asarray(clock.system_id), np.asarray(clock.status)
        due = [slot for slot in slots.tolist() if self._due(int(ids[slot]), int(ages[slot]))]
        self._write(driver, [(slot, step, labels(driver)[int(status[slot])]) for slot in due])
        return int(np.min(self.frequency - ages[slots] % self.frequency))

    def rows_due(self, own_steps: Int[np.ndarray, "n S"], newest: Bool[np.ndarray, "n S"]) -> Bool[np.ndarray, "n S"]:
        """Those of the state as it is now."""
        del own_steps
        return newest

    def on_rows(self, rows: Rows, driver: Driver) -> None:
        """Frames of those for whom one is due, and of those who have ended."""
        newest = [row for row in rows if row.newest]
        due = [row for row in newest if self._due(row.system_id, row.system_step, self._ended(row, driver))]
        self._write(driver, [(row.slot, row["step"] + 1, row["stage"]) for row in due])

    def _due(self, system: int, own_step: int, ended: bool = False) -> bool:
        return (ended or own_step % self.frequency == 0) and self._written.get(system, -1) < own_step

    def _write(self, driver: Driver, frames: Sequence[tuple[int, int, str]]) -> None:
        """Write the systems in these slots, each with the step of the run and the stage."""
        if not frames or self._file is None:
            return
        batch = driver.batch
        if clash := [name for name in OURS if name in batch.system_fields or name in batch.atom_fields]:
            raise InputError(f"the batch has a field {clash[0]!r}, which frames of '{self.path}' use: rename yours")
        slots = [slot for slot, _, _ in frames]
        chosen = index_select(bare(batch), slots)
        ages = np.asarray(driver.state.clock.age)[slots].tolist()
        records = []
        for data, age, (_, step, stage) in zip(to_data_list(chosen), ages, frames, strict=True):
            numbers = {**data.system_fields, "step": step, "system_step": age}
            records.append(data.replace(system_fields=numbers, info={**data.info, "stage": stage}))
        with output_errors(self.path):
            self._file.append(records)
        self._written.update((int(data.system_id or 0), age) for data, age in zip(records, ages, strict=True))

    def _open(self, resume_step: int | None, driver: Driver) -> None:
        if self._file is not None and self._driver() is driver and resume_step is None:
            return  # it goes on where it was
        with output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _kind(self.path)(self.path)
            if self._driver() is not driver:
                self._written = {}
            if resume_step is not None:
                # Frames of the step itself were made from the very state that the run goes on from.
                kept = int(np.sum(np.asarray(self._file.integers("step")) <= resume_step))
                own_steps = self._file.integers("system_step")[:kept]
                self._file.truncate(kept)
                self._written = dict(zip(self._file.system_ids, own_steps, strict=False))
        self._driver = weakref.ref(driver)

    def _sync(self) -> None:
        if self._file is not None:
            with output_errors(self.path):
                self._file.sync()

    def _close(self) -> None:
        self._sync()


def read_trajectory(path: str | Path) -> Iterator[AtomicData]:
    """The frames of a file that a `TrajectoryWriter` wrote, in their order; each has fields `step` and `system_step`.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no trajectory '{path}'")
    file = _kind(path)(path)
    return (file.read(frame) for frame in range(len(file.system_ids)))


def _kind(path: Path) -> type[FrameFile]:
    if path.suffix not in KINDS:
        raise InputError(f"'{path}' is no file for a trajectory; expected one that ends in {', '.join(KINDS)}")
    return KINDS[path.suffix]
