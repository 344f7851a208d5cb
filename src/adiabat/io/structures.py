"""Structure files, read by ASE: xyz, extxyz, cif, POSCAR, pdb, databases and whatever else it knows.

`read_structure` gives one structure, the last of a file; `read_structures` goes through all of them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float

from adiabat.config.suggestions import did_you_mean
from adiabat.errors import InputError
from adiabat.io.extxyz import RawFrame, split_frames

__all__ = ["Frame", "Structure", "UnreadableFrame", "read_structure", "read_structures"]


@dataclass(frozen=True, eq=False)
class Structure:
    """One frame of a structure file, in the units of ASE.

    Args:
        symbols: chemical symbols, one per atom.
        positions: (atoms, 3), angstrom.
        cell: lattice vectors in rows, (3, 3), angstrom; zero where there is none.
        periodic: along which lattice vectors the structure repeats, (3,).
        format: ASE's name of the file format.
        frame: index of this frame in the file, from 0.
        n_frames: how many frames the file holds.
    """

    symbols: tuple[str, ...]
    positions: Float[np.ndarray, "atoms 3"]
    cell: Float[np.ndarray, "3 3"]
    periodic: Bool[np.ndarray, " 3"]
    format: str
    frame: int
    n_frames: int


def read_structure(path: str | os.PathLike[str]) -> Structure:
    """The last frame of a structure file in any format that ASE recognises.

    Raises:
        InputError: the file is missing, a directory, empty, not readable, or ASE cannot make sense of it.
    """
    file = Path(path).expanduser()
    _check_readable(file)
    import ase
    import ase.io

    try:
        # '@' in a file name is a letter here, not ASE's way of choosing frames.
        frames = cast("list[ase.Atoms]", ase.io.read(file, index=":", do_not_split_by_at_sign=True))
        format_name = ase.io.formats.filetype(str(file))
    except Exception as error:  # each of ASE's hundred readers fails in its own way
        raise _no_structure(file, _reason(error)) from error
    if not frames:
        raise _nothing_in(file)
    atoms = frames[-1]
    return Structure(
        symbols=tuple(atoms.get_chemical_symbols()),
        positions=np.array(atoms.get_positions(), dtype=np.float64),
        cell=np.array(atoms.get_cell(), dtype=np.float64),
        periodic=np.array(atoms.get_pbc(), dtype=bool),
        format=format_name,
        frame=len(frames) - 1,
        n_frames=len(frames),
    )


# --- all frames ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Frame:
    """One structure of a file: its `ase.Atoms`, the file, and its index there, from 0."""

    source: str
    index: int
    atoms: Any


@dataclass(frozen=True)
class UnreadableFrame:
    """A structure that could not be read, and why."""

    source: str
    index: int
    reason: str

    def __str__(self) -> str:
        return f"frame {self.index} of '{self.source}' cannot be used: {self.reason}"


Frames = Iterator[Frame | UnreadableFrame]


def read_structures(path: str | os.PathLike[str], strict: bool = False) -> Frames:
    """All frames of a structure file in any format that ASE recognises, one after the other.

    The file is read once, and in extxyz, ASE databases and trajectories one frame is held at a time. An unreadable
    frame comes as an `UnreadableFrame` and the others still come; in formats other than extxyz, cif and databases,
    where nobody can say where the next frame begins, it is the last.

    Raises:
        InputError: the file is missing, a directory, empty, holds no structure or is of no format that ASE knows; that
        is seen at once. With `strict`, also when an unreadable frame is met.
    """
    file = Path(path).expanduser()
    _check_readable(file)
    import ase.io.formats

    try:
        format_name = ase.io.formats.filetype(str(file))
    except Exception as error:  # unknown to ASE, or damaged so that it cannot be told
        raise _no_structure(file, _reason(error)) from error
    frames = _READERS.get(format_name, _any_frames)(file)
    first = next(frames, None)
    if first is None:
        raise _nothing_in(file)
    whole = chain([first], frames)
    return _strictly(whole) if strict else whole


def _strictly(frames: Iterable[Frame | UnreadableFrame]) -> Frames:
    for frame in frames:
        if isinstance(frame, UnreadableFrame):
            raise InputError(str(frame))
        yield frame


def _parsed(file: Path, index: int, parse: Callable[[], Any]) -> Frame | UnreadableFrame:
    """A frame from what `parse` returns, or why it could not."""
    try:
        return Frame(str(file), index, parse())
    except Exception as error:  # noqa: BLE001 - each of ASE's hundred readers fails in its own way
        return UnreadableFrame(str(file), index, _reason(error))


def _extxyz_frames(file: Path) -> Frames:
    from ase.io.formats import open_with_compression

    with open_with_compression(str(file), "rb") as stream:
        for raw in split_frames(stream):
            if raw.index == 0 and raw.problem and not raw.text:
                raise _no_structure(file, raw.problem)
            if raw.problem:
                yield UnreadableFrame(str(file), raw.index, raw.problem)
            else:
                yield _parsed(file, raw.index, partial(parse_extxyz, raw))


def parse_extxyz(raw: RawFrame) -> Any:
    """The `ase.Atoms` of one frame of an extxyz or xyz file."""
    from ase.io.extxyz import read_xyz

    (atoms,) = read_xyz(io.StringIO(raw.text), index=slice(0, 1))
    comment = raw.text.split("\n", 2)[1].strip()
    if "=" not in comment:
        # A sentence in a plain xyz file: ASE would take each word for the name of something true.
        atoms.info = {"comment": comment} if comment else {}
    return atoms


def _cif_frames(file: Path) -> Frames:
    from ase.io.cif import parse_cif
    from ase.io.formats import open_with_compression

    with open_with_compression(str(file), "rb") as stream:
        blocks = (block for block in parse_cif(stream) if block.has_structure())
        yield from _until_broken(file, blocks, lambda index, block: _parsed(file, index, partial(_crystal, block)))


def _crystal(block: Any) -> Any:
    atoms = block.get_atoms()
    for kinds in atoms.info.pop("occupancy", {}).values():
        if len(kinds) > 1 or not np.isclose(sum(kinds.values()), 1.0, atol=1e-3):
            raise ValueError(f"its sites are occupied in part ({kinds}), and a simulation needs whole atoms")
    return atoms


def _database_frames(file: Path) -> Frames:
    import ase.db

    with ase.db.connect(str(file)) as database:
        try:
            ids = [row.id for row in database.select(columns=["id"])]
        except Exception as error:
            raise _no_structure(file, _reason(error)) from error
        for index, row_id in enumerate(ids):
            yield _parsed(file, index, partial(_of_id, database, row_id))


def _json_frames(file: Path) -> Frames:
    import ase.db

    try:
        rows = list(ase.db.connect(str(file)).select())
    except Exception as error:
        raise _no_structure(file, _reason(error)) from error
    for index, row in enumerate(rows):
        yield _parsed(file, index, partial(_of_row, row))


def _of_id(database: Any, row_id: int) -> Any:
    return _of_row(database.get(id=row_id))


def _of_row(row: Any) -> Any:
    atoms = row.toatoms()
    atoms.info.update(row.key_value_pairs)
    return atoms


def _any_frames(file: Path) -> Frames:
    import ase.io

    # '@' in a file name is a letter here, not ASE's way of choosing frames.
    frames = ase.io.iread(str(file), index=":", do_not_split_by_at_sign=True)
    yield from _until_broken(file, frames, lambda index, atoms: Frame(str(file), index, atoms))


def _until_broken(file: Path, items: Iterator[Any], frame: Callable[[int, Any], Frame | UnreadableFrame]) -> Frames:
    """The frames of what a reader gives, up to where it fails, which is the last: it cannot go on after that."""
    index = 0
    while True:
        try:
            item = next(items, None)
        except Exception as error:
            if index == 0:
                raise _no_structure(file, _reason(error)) from error
            yield UnreadableFrame(str(file), index, f"{_reason(error)}; what follows it cannot be found")
            return
        if item is None:
            return
        yield frame(index, item)
        index += 1


_READERS: dict[str, Callable[[Path], Frames]] = {
    "extxyz": _extxyz_frames,
    "xyz": _extxyz_frames,
    "cif": _cif_frames,
    "db": _database_frames,
    "json": _json_frames,
}


# --- what can be wrong --------------------------------------------------------------------------------------


def _check_readable(file: Path) -> None:
    if file.is_dir():
        raise InputError(f"'{file}' is a directory: expected a structure file, such as '{file / 'molecule.xyz'}'")
    if not file.is_file():
        neighbors = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        raise InputError(f"file '{file}' does not exist{did_you_mean(file.name, neighbors)}")
    try:
        with file.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise InputError(f"file '{file}' cannot be opened: {error.strerror}") from error
    if empty:
        raise InputError(f"file '{file}' is empty: expected a structure, in xyz or another format that ASE knows")


def _no_structure(file: Path, reason: str) -> InputError:
    return InputError(
        f"'{file}' cannot be read as a structure ({reason}): expected a format that ASE knows, such as "
        "xyz, extxyz, cif or POSCAR, complete and with a matching file name"
    )


def _nothing_in(file: Path) -> InputError:
    return InputError(f"'{file}' holds no structure: expected at least one frame with at least one atom")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0]
