"""Files of frames that grow at their end, and lose there what a killed process left unfinished."""

from __future__ import annotations

import abc
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adiabat.atoms.ase_conversion import extxyz_text, from_ase, to_ase
from adiabat.atoms.atomic_data import AtomicData
from adiabat.errors import InputError
from adiabat.io.atomic import TEMPORARY
from adiabat.io.extxyz import RawFrame, split_frames
from adiabat.io.structures import parse_extxyz

__all__ = ["ExtxyzFile", "FrameFile", "TrajectoryFile"]


class FrameFile(abc.ABC):
    """A file of frames, each of a system with an id. `system_ids` are those found on opening."""

    system_ids: list[int]

    @abc.abstractmethod
    def __init__(self, path: Path) -> None:
        """Go on where the file ends.

        Raises:
            InputError: it holds something else.
        """

    @abc.abstractmethod
    def append(self, records: Sequence[AtomicData]) -> None:
        """Write frames at the end; after an error the file is as it was."""

    @abc.abstractmethod
    def read(self, record: int) -> AtomicData:
        """One frame."""

    @abc.abstractmethod
    def truncate(self, n_records: int) -> None:
        """Keep the first frames."""

    @abc.abstractmethod
    def integers(self, name: str) -> list[int]:
        """A number that every frame has among its info or its system fields.

        Raises:
            InputError: a frame lacks it.
        """

    @abc.abstractmethod
    def sync(self) -> None:
        """Bring everything to disk."""


class ExtxyzFile(FrameFile):
    """Text, written here frame by frame; where each ends is remembered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends = [0]
        self.system_ids = []
        path.touch()
        with path.open("rb") as stream:
            for frame in split_frames(stream):
                if frame.cut_off and _could_be_ours(frame.text):
                    break
                if frame.problem:
                    raise InputError(f"frame {frame.index} of '{path}' is damaged: {frame.problem}; name another file")
                comment = frame.text.split("\n", 2)[1]
                self.system_ids.append(_integer("system_id", _written(comment, "system_id"), path, frame.index))
                self._ends.append(frame.end)
        self._cut(self._ends[-1])

    def append(self, records: Sequence[AtomicData]) -> None:
        texts = [extxyz_text(data).encode() for data in records]
        try:
            with self._path.open("ab") as stream:
                stream.write(b"".join(texts))
        except OSError:
            self._cut(self._ends[-1])
            raise
        for text in texts:
            self._ends.append(self._ends[-1] + len(text))

    def read(self, record: int) -> AtomicData:
        with self._path.open("rb") as stream:
            stream.seek(self._ends[record])
            text = stream.read(self._ends[record + 1] - self._ends[record]).decode()
        return from_ase(parse_extxyz(RawFrame(record, 0, len(text), text)))

    def truncate(self, n_records: int) -> None:
        del self._ends[n_records + 1 :]
        self._cut(self._ends[-1])

    def integers(self, name: str) -> list[int]:
        found = []
        with self._path.open("rb") as stream:
            for record, start in enumerate(self._ends[:-1]):
                stream.seek(start)
                stream.readline()
                found.append(_integer(name, _written(stream.readline().decode(), name), self._path, record))
        return found

    def sync(self) -> None:
        with self._path.open("ab") as stream:
            os.fsync(stream.fileno())

    def _cut(self, n_bytes: int) -> None:
        if self._path.stat().st_size > n_bytes:
            os.truncate(self._path, n_bytes)


class TrajectoryFile(FrameFile):
    """A trajectory of ASE's, which counts its frames itself and is written anew where that went wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        frames, whole = _readable_frames(path)
        self.system_ids = self._integers("system_id", frames)
        if not whole:
            if not frames and path.stat().st_size and not path.read_bytes().startswith(b"- of Ulm"):
                raise InputError(f"'{path}' is no trajectory of ASE: name another file")
            self._rewrite(frames)
        self._n_records = len(frames)

    def append(self, records: Sequence[AtomicData]) -> None:
        try:
            _append(self._path, [to_ase(data) for data in records])
        except OSError:
            self.truncate(self._n_records)
            raise
        self._n_records += len(records)

    def read(self, record: int) -> AtomicData:
        from ase.io.trajectory import TrajectoryReader

        with TrajectoryReader(str(self._path)) as frames:
            return from_ase(frames[record])

    def truncate(self, n_records: int) -> None:
        self._rewrite(_readable_frames(self._path)[0][:n_records])
        self._n_records = n_records

    def integers(self, name: str) -> list[int]:
        return self._integers(name, _readable_frames(self._path)[0])

    def sync(self) -> None:
        if self._path.exists():
            with self._path.open("rb") as stream:
                os.fsync(stream.fileno())

    def _integers(self, name: str, frames: Sequence[Any]) -> list[int]:
        return [_integer(name, atoms.info.get(name), self._path, i) for i, atoms in enumerate(frames)]

    def _rewrite(self, frames: list[Any]) -> None:
        """Put a file in place that holds these frames only."""
        other = self._path.with_name(f".{self._path.name}{TEMPORARY}")
        other.unlink(missing_ok=True)
        if frames:
            _append(other, frames)
            os.replace(other, self._path)
        else:
            self._path.unlink(missing_ok=True)


def _could_be_ours(text: str) -> bool:
    """Whether a frame that is cut off may be removed: not if it is the last of a file that no sink wrote."""
    _, newline, rest = text.partition("\n")
    comment, ended, _ = rest.partition("\n")
    if ended:
        return "system_id=" in comment
    return not newline or any(comment.startswith(word[: len(comment)]) for word in ("Lattice=", "Properties="))


def _written(comment: str, name: str) -> str | None:
    """The integer of this name in a comment line. The first one is ours: a user's words come after it."""
    found = re.search(rf"(?:^|\s){name}=(\d+)(?:\s|$)", comment)
    return found and found[1]


def _integer(name: str, found: Any, path: Path, index: int) -> int:
    if found is None:
        raise InputError(f"frame {index} of '{path}' has no {name}, so it was not written here: name another file")
    return int(found)


def _append(path: Path, frames: Sequence[Any]) -> None:
    from ase.io.trajectory import TrajectoryWriter

    with TrajectoryWriter(str(path), "a") as stream:
        for atoms in frames:
            stream.write(atoms)


def _readable_frames(path: Path) -> tuple[list[Any], bool]:
    """The frames of a trajectory up to the first that cannot be read, and whether that was all of it."""
    from ase.io.trajectory import TrajectoryReader

    frames: list[Any] = []
    if not path.exists():
        return frames, True
    try:
        with TrajectoryReader(str(path)) as stream:
            for i in range(len(stream)):
                frames.append(stream[i])  # noqa: PERF401 - an error must not lose those before it
    except Exception:  # noqa: BLE001 - ASE fails in many ways where a file was cut
        return frames, False
    return frames, True
