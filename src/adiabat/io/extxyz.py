"""Extended XYZ, a file of frames that each say how many lines they have: cut into frames, and written without loss.

The first line of a frame is the number of atoms, the second holds `key=value` pairs (`Lattice`, `Properties`, a user's
own), then comes a line for each atom with the columns that `Properties` names. ASE parses single frames; cutting the
file into frames is done here, so that one that is damaged does not take the others with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from adiabat.errors import InputError

__all__ = ["RawFrame", "frame_text", "split_frames"]


@runtime_checkable
class LineStream(Protocol):
    """A file that is open for reading, in bytes."""

    def readline(self) -> bytes: ...


@dataclass(frozen=True)
class RawFrame:
    """Where a frame lies in its file, in bytes; its text; and what is wrong with its extent, if anything.

    `cut_off`: the file ends before the frame does, as when whoever wrote it was killed.
    """

    index: int
    start: int
    end: int
    text: str
    problem: str = ""
    cut_off: bool = False


def split_frames(stream: LineStream) -> Iterator[RawFrame]:
    """The frames of a file, one after the other: it is read once, and one frame is held at a time.

    A frame whose number of atoms is not the number of its lines has a `problem`, and the next one begins at the next
    line that is a single integer, which the line of an atom never is. A last frame that is cut off has one as well.
    """
    lines = _Lines(stream)
    index = 0
    while lines.skip_blank():
        start = lines.offset
        text, problem = _next_frame(lines)
        cut_off = bool(text) and (problem.startswith(CUT_OFF) or not text.endswith(b"\n"))
        yield RawFrame(index, start, lines.offset, text.decode("utf-8", "replace"), problem, cut_off)
        index += 1


def frame_text(
    symbols: Sequence[str],
    columns: Mapping[str, np.ndarray],
    info: Mapping[str, Any],
    cell: np.ndarray | None = None,
    pbc: Sequence[bool] | np.ndarray = (False, False, False),
) -> str:
    """A frame, with every number in as many digits as it takes to read it back to the bit.

    Args:
        symbols: chemical symbols (n,).
        columns: arrays (n, ...) by the names of the columns, `pos` first; what is no vector becomes one.
        info: numbers, bools, words, arrays and what JSON can hold, by name.
        cell: lattice vectors in rows (3, 3).
        pbc: along which lattice vectors the structure repeats (3,).

    Raises:
        InputError: a name cannot be that of a column.
    """
    flat = {name: column.reshape(len(symbols), -1) for name, column in columns.items()}
    properties = "species:S:1"
    for name, column in flat.items():
        if not re.fullmatch(r"[^\s:=\"'{}\[\]]+", name):
            raise InputError(f"{name!r} cannot be the name of a column of an extxyz file")
        properties += f":{name}:{_kind(column)}:{column.shape[1]}"
    pairs = [f"Properties={properties}"]
    if cell is not None and cell.any():
        pairs = [f'Lattice="{_joined(cell.reshape(-1))}"', *pairs]
    pairs.append(f'pbc="{_joined(np.asarray(pbc, bool))}"')
    for name, value in info.items():
        # These two are matrices by convention, column after column.
        value = value.T.reshape(-1) if name in ("stress", "virial") and np.shape(value) == (3, 3) else value
        pairs.append(f"{_quoted(name)}={_value(value)}")
    rows = zip(symbols, *(map(_joined, column) for column in flat.values()), strict=True)
    return "\n".join([str(len(symbols)), " ".join(pairs), *(" ".join(row) for row in rows)]) + "\n"


# --- cutting ------------------------------------------------------------------------------------------------

CUT_OFF = "the file ends after"


class _Lines:
    """The lines of a stream, with a look at the next one."""

    def __init__(self, stream: LineStream) -> None:
        self._stream = stream
        self.next = stream.readline()
        self.offset = 0  # of the next line

    def take(self) -> bytes:
        taken, self.next = self.next, self._stream.readline()
        self.offset += len(taken)
        return taken

    def skip_blank(self) -> bool:
        """Go to the next line that has something in it; whether there is one."""
        while self.next and not self.next.strip():
            self.take()
        return bool(self.next)

    def skip_to_count(self) -> int:
        """Go to the next line that can begin a frame; how many with something in them were skipped."""
        skipped = 0
        while self.next and _count(self.next) is None:
            skipped += bool(self.take().strip())
        return skipped


def _next_frame(lines: _Lines) -> tuple[bytes, str]:
    n_atoms = _count(lines.next)
    if n_atoms is None:
        beginning = lines.next.decode("utf-8", "replace").strip()[:40]
        lines.skip_to_count()
        return b"", f"it begins with {beginning!r} where a number of atoms was expected"
    taken = [lines.take(), lines.take()]
    for found in range(n_atoms):
        if not lines.next:
            return b"".join(taken), f"{CUT_OFF} {found} of its {n_atoms} atoms"
        if _count(lines.next) is not None:
            return b"".join(taken), f"it has {found} of the {n_atoms} atoms that it says it has"
        taken.append(lines.take())
    while lines.next.lstrip().startswith(b"VEC"):  # a way to give the lattice vectors
        taken.append(lines.take())
    extra = lines.skip_to_count() if lines.skip_blank() else 0
    problem = f"after the {n_atoms} atoms that it says it has come {extra} more lines" if extra else ""
    return b"".join(taken), problem


def _count(line: bytes) -> int | None:
    """The number of atoms, if the line says one and nothing else."""
    word = line.strip()
    return int(word) if word.isdigit() else None


# --- writing ------------------------------------------------------------------------------------------------


def _kind(column: np.ndarray) -> str:
    kind = {"f": "R", "i": "I", "u": "I", "b": "L"}.get(column.dtype.kind)
    if kind is None or (kind == "I" and column.size and max(-int(column.min()), int(column.max())) >= 2**31):
        raise InputError(f"extxyz files have no such columns of {column.dtype}: expected reals, int32 or bools")
    return kind


def _joined(numbers: np.ndarray) -> str:
    return " ".join(map(_number, numbers.tolist()))


def _number(value: Any) -> str:
    return ("F", "T")[value] if isinstance(value, bool) else repr(value)


def _value(value: Any) -> str:
    """A value such that it is read back as what it is."""
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind in "biuf" and value.ndim == 1 and value.size > 1:
            return f'"{_joined(np.asarray(value))}"'
        value = value.tolist()
    if isinstance(value, (bool, int, float)):
        return _number(value)
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w./-]*", value) and not _means_something_else(value):
        return value
    text = json.dumps(value, default=str)
    return f'"_JSON {_escaped(text)}"'


def _means_something_else(word: str) -> bool:
    return word.lower() in ("t", "f", "true", "false", "nan", "inf", "infinity")


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"\w+", name) else f'"{_escaped(name)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
