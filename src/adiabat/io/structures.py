"""Structure files, read by ASE: xyz, extxyz, cif, POSCAR, pdb and whatever else it knows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Bool, Float

from adiabat.config.suggestions import did_you_mean
from adiabat.errors import InputError

__all__ = ["Structure", "read_structure"]


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
        reason = f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0]
        raise InputError(
            f"'{file}' cannot be read as a structure ({reason}): expected a format that ASE knows, such as "
            "xyz, extxyz, cif or POSCAR, complete and with a matching file name"
        ) from error
    if not frames:
        raise InputError(f"'{file}' holds no structure: expected at least one frame with at least one atom")
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
