"""A molecule from what a user writes: coordinates, a file, or a name."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from adiabat.config.suggestions import did_you_mean
from adiabat.electrons.elements import SYMBOLS
from adiabat.electrons.ground_state_spin import ground_state_spin
from adiabat.electrons.known_molecules import known_molecule, suggestion
from adiabat.electrons.molecule import Molecule, sum_formula
from adiabat.errors import InputError
from adiabat.io.structures import read_structure
from adiabat.units import ANGSTROM_PER_BOHR

UNITS = ("angstrom", "bohr")
LONGEST_SHOWN = 60
LONGEST_PATH = 255
UNITLESS_FORMATS = ("xyz", "extxyz", "simple_xyz")
"""Formats that hold bare numbers, by custom angstrom."""


@dataclass(frozen=True, eq=False)
class _Geometry:
    name: str
    symbols: tuple[str, ...]
    positions: Float[np.ndarray, "atoms 3"]  # bohr
    origin: str
    spin: int | None = None  # 2S of the neutral molecule, where the origin states it


def molecule_from(
    text: str | os.PathLike[str], *, charge: int = 0, spin: int | None = None, unit: str | None = None
) -> Molecule:
    """The molecule that `text` describes; its `source` says in a sentence what was understood.

    Tried in this order:

    1. coordinates, `"H 0 0 0; H 0 0 1.4"`: atoms separated by semicolons or line breaks, in angstrom unless
       `unit` says bohr;
    2. the path of a structure file that ASE reads; of several frames the last;
    3. a name: an atom ('Be'), a molecule of the reference table ('LiH'), a diatomic ('C2'), one of ASE's G2
       collection ('H2O'), or an English name ('water'). Case does not matter where it does not decide.

    Args:
        charge: of the whole molecule.
        spin: 2S; by default that of the known ground state of atoms, diatomics and the G2 collection, else
            the lowest.
        unit: 'angstrom' or 'bohr', of coordinates and of xyz files. Other formats fix their unit, and names
            need none.

    Raises:
        InputError: one sentence with what was given, what was expected and how to mend it.
    """
    unit = _checked_unit(unit)
    geometry = _geometry(text, unit)
    if spin is not None:
        reason = "as given"
    elif geometry.spin is not None and charge == 0:
        spin, reason = geometry.spin, "its known ground state"
    else:
        spin, reason = ground_state_spin(geometry.symbols, charge)
    molecule = Molecule(geometry.symbols, geometry.positions, charge, spin, geometry.name)
    distance = f" at R = {molecule.distances[0, 1]:.6g} bohr" if molecule.n_atoms == 2 else ""
    source = f"{geometry.name}{distance}, {geometry.origin}; charge {charge}, 2S = {spin} ({reason})"
    return replace(molecule, source=source)


def _geometry(text: str | os.PathLike[str], unit: str | None) -> _Geometry:
    words = os.fspath(text).strip()
    if not words:
        raise InputError(
            "no molecule given: expected a name such as 'LiH', a structure file, "
            "or coordinates such as 'H 0 0 0; H 0 0 1.4'"
        )
    is_file = _is_file(words)
    if not is_file and _looks_like_coordinates(words):
        return _from_coordinates(words, unit or "angstrom")
    if is_file or isinstance(text, os.PathLike):
        return _from_file(Path(words).expanduser(), unit)
    known = known_molecule(words)
    if known is not None:
        return _Geometry(known.name, known.symbols, known.positions, known.origin, known.spin)
    if len(words) < LONGEST_PATH and _looks_like_path(words):
        return _from_file(Path(words).expanduser(), unit)
    raise _unknown_name(words)


def _unknown_name(words: str) -> InputError:
    shown = words if len(words) <= LONGEST_SHOWN else words[:LONGEST_SHOWN] + "..."
    ion = re.fullmatch(r"(.*?)(\d*)([+-])", words)
    if ion is not None and known_molecule(ion[1]) is not None:
        return InputError(
            f"'{shown}' is an ion: name it without its charge, '{ion[1]}' with --charge {ion[3]}{ion[2] or 1}"
        )
    return InputError(
        f"unknown molecule '{shown}'{_expected(suggestion(words))} the name of an atom or molecule such as "
        "'LiH' or 'water', a structure file, or coordinates such as 'H 0 0 0; H 0 0 1.4'"
    )


def _expected(guess: str) -> str:
    return f"{guess} Expected" if guess else ": expected"


def _checked_unit(unit: str | None) -> str | None:
    if unit is None or unit.lower() in UNITS:
        return unit and unit.lower()
    raise InputError(f"unknown unit '{unit}'{_expected(did_you_mean(unit, UNITS))} 'angstrom' or 'bohr'")


def _is_file(words: str) -> bool:
    try:
        return Path(words).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long for a path, a null byte, an unknown home
        return False


def _looks_like_coordinates(words: str) -> bool:
    if ";" in words or "\n" in words:
        return True
    tokens = re.split(r"[\s,]+", words)
    return len(tokens) > 1 and any(_number(token) is not None for token in tokens[1:])


def _looks_like_path(words: str) -> bool:
    return "\0" not in words and (os.sep in words or Path(words).suffix != "" or Path(words).is_dir())


def _number(token: str) -> float | None:
    try:
        return float(token)
    except ValueError:
        return None


def _from_coordinates(words: str, unit: str) -> _Geometry:
    symbols, rows = [], []
    for line in re.split(r"[;\n]", words):
        tokens = [token for token in re.split(r"[\s,]+", line) if token]
        if not tokens:
            continue
        numbers = [_number(token) for token in tokens[1:]]
        if len(tokens) != 4 or None in numbers:
            raise InputError(
                f"coordinates '{line.strip()}' not understood: expected 'symbol x y z', such as 'H 0 0 1.4'"
            )
        symbol = tokens[0].capitalize()
        if symbol not in SYMBOLS:
            raise InputError(
                f"unknown element '{tokens[0]}' in '{line.strip()}'"
                f"{_expected(did_you_mean(tokens[0], SYMBOLS))} a chemical symbol such as 'H' or 'Li'"
            )
        symbols.append(symbol)
        rows.append(numbers)
    positions = np.array(rows, dtype=np.float64).reshape(-1, 3)
    if unit == "angstrom":
        positions = positions / ANGSTROM_PER_BOHR
    return _Geometry(sum_formula(symbols), tuple(symbols), positions, f"coordinates given in {unit}")


def _from_file(path: Path, unit: str | None) -> _Geometry:
    structure = read_structure(path)
    if structure.periodic.any():
        flags = " ".join("FT"[int(flag)] for flag in structure.periodic)
        raise InputError(
            f"'{path}' is periodic (pbc {flags}): only isolated molecules are supported; if it is one, "
            "take the cell out of the file"
        )
    unknown = [symbol for symbol in structure.symbols if symbol not in SYMBOLS]
    if unknown:
        raise InputError(f"unknown element '{unknown[0]}' in '{path}': expected chemical symbols such as 'H' or 'Li'")
    fixed_unit = structure.format not in UNITLESS_FORMATS
    if unit == "bohr" and fixed_unit:
        raise InputError(
            f"unit bohr was given for '{path}', whose format ({structure.format}) has a unit of its own: "
            "leave --unit out"
        )
    unit = unit or "angstrom"
    positions = structure.positions if unit == "bohr" else structure.positions / ANGSTROM_PER_BOHR
    origin = f"from {path}" + ("" if fixed_unit else f" in {unit}")
    if structure.n_frames > 1:
        origin += f", the last of its {structure.n_frames} frames"
    return _Geometry(path.stem, structure.symbols, positions, origin)
