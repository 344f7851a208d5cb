"""To and from the Atoms of ASE, and from files that ASE reads.

ASE measures time in angstrom * sqrt(amu/eV); the factor is `sqrt(units.ENERGY_PER_MASS)`, so that a kinetic energy
is the same number on both sides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adiabat.atoms.atomic_data import AtomicData, is_reserved, name_of
from adiabat.errors import InputError
from adiabat.io.extxyz import frame_text
from adiabat.io.structures import UnreadableFrame, read_structures
from adiabat.units import ENERGY_PER_MASS

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["extxyz_text", "from_ase", "read_data", "to_ase"]

VELOCITY = float(np.sqrt(ENERGY_PER_MASS))
"""ASE's unit of velocity in angstrom/fs."""

NOT_FIELDS = ("numbers", "positions", "masses", "momenta")
ON_ITS_OWN = ("system_id", "status", "fixed_center")  # what `to_ase` keeps in info


def read_data(path: str | os.PathLike[str], strict: bool = False) -> Iterator[AtomicData | UnreadableFrame]:
    """All structures of a file, checked, each with `source` and `frame` in its info.

    A frame that cannot be read, converted or simulated (`AtomicData.check`) comes as an `UnreadableFrame`, and the
    others still come.

    Raises:
        InputError: the file as a whole cannot be read, as in `read_structures`; with `strict`, also for a frame.
    """
    for frame in read_structures(path, strict):
        if isinstance(frame, UnreadableFrame):
            yield frame
            continue
        try:
            data = from_ase(frame.atoms, source=frame.source, frame=frame.index)
            data.check()
            # Which system of which stage it was in an earlier run means nothing in a new one.
            data = data.replace(system_id=None, status=None)
        except InputError as error:
            if strict:
                raise
            where = f"frame {frame.index} of '{frame.source}' "
            yield UnreadableFrame(frame.source, frame.index, f"it {str(error).removeprefix(where)}")
        else:
            yield data


def from_ase(
    atoms: Atoms, *, source: str | Path | None = None, frame: int | None = None, system_id: int | None = None
) -> AtomicData:
    """A system from ASE's Atoms: energy, forces and stress too, if its calculator holds them for these positions.

    `FixAtoms` and `FixCom` are honoured. Numeric `info` and `arrays`, and other results of the calculator, become a
    user's own fields; what is not numeric, or has a name that adiabat uses itself, stays in `info`.

    Args:
        source, frame: where the structure comes from.
        system_id: its index in the data set; by default the one in `info`, if there is one.

    Raises:
        InputError: the atoms have another constraint, or the calculator's results have the wrong form.
    """
    place = {"source": None if source is None else str(source), "frame": frame}
    info = {**atoms.info, **{name: value for name, value in place.items() if value is not None}}
    whole = (int, np.integer, np.bool_)  # words of these names stay in info
    known = {name: int(info.pop(name)) for name in ON_ITS_OWN if isinstance(info.get(name), whole)}
    if system_id is not None:
        known["system_id"] = system_id
    fixed, center = _constraints(atoms, name_of(info, known.get("system_id")))
    results = _results(atoms)
    free_energy, forces, stress = (results.pop(key, None) for key in ("free_energy", "forces", "stress"))
    energy = results.pop("energy", free_energy)
    known["fixed_center"] = center or bool(known.get("fixed_center", False))
    own = _Fields(info, len(atoms))
    for key, value in {**info, **results}.items():
        own.add(key, value, per_atom=False)
    for key, value in atoms.arrays.items():
        if key not in NOT_FIELDS:
            own.add(key, value, per_atom=True)
    return AtomicData(
        atoms.get_positions(),
        atoms.get_atomic_numbers(),
        masses=atoms.get_masses(),
        cell=np.asarray(atoms.cell),
        pbc=atoms.get_pbc(),
        velocities=atoms.get_velocities() * VELOCITY if "momenta" in atoms.arrays else None,
        energy=energy,
        forces=forces,
        stress=None if stress is None else _full_stress(np.asarray(stress, float)),
        fixed=fixed,
        atom_fields=own.atom,
        system_fields=own.system,
        info=own.info,
        **known,
    )


def to_ase(data: AtomicData) -> Atoms:
    """ASE's Atoms of a system, with a `SinglePointCalculator` that holds what is known of energy, forces and stress.

    A user's own fields are in `arrays` and `info`; `system_id` and `status` are in `info`, if the system has them.
    """
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms, FixCom

    atoms = Atoms(data.numbers, data.positions, masses=data.masses, cell=data.cell, pbc=data.pbc)
    atoms.info = {**_ids(data), **data.info, **{name: x[()] for name, x in data.system_fields.items()}}
    for name, value in data.atom_fields.items():
        atoms.set_array(name, value)
    for name in [name for name, value in data.info.items() if _is_column_of_words(value, data.n_atoms)]:
        atoms.set_array(name, atoms.info.pop(name))
    if data.velocities.any():
        atoms.set_velocities(data.velocities / VELOCITY)
    fixed = [FixAtoms(mask=data.fixed)] if data.fixed.any() else []
    atoms.set_constraint(fixed + [FixCom()] * data.fixed_center)
    results = {"energy": data.energy, "forces": data.forces, "stress": data.stress}
    if any(value is not None for value in results.values()):
        if data.stress is not None:
            results["stress"] = data.stress.reshape(-1)[[0, 4, 8, 5, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def extxyz_text(data: AtomicData, info: Mapping[str, Any] | None = None) -> str:
    """A system as a frame of an extxyz file that ASE reads, in full precision, with these things more in its info.

    Raises:
        InputError: a user's field is of a type that such files have no columns for (complex numbers).
    """
    from ase.data import atomic_masses, chemical_symbols

    columns = {"pos": data.positions}
    if data.forces is not None:
        columns["forces"] = data.forces
    if data.velocities.any():
        columns["momenta"] = data.masses[:, None] * data.velocities / VELOCITY
    if not np.array_equal(data.masses, atomic_masses[data.numbers]):
        columns["masses"] = data.masses
    if data.fixed.any():
        columns["move_mask"] = ~data.fixed
    results = {"energy": data.energy, "stress": data.stress}
    known = {name: value for name, value in results.items() if value is not None}
    center = {"fixed_center": True} if data.fixed_center else {}
    words = {**known, **center, **_ids(data), **data.info, **data.system_fields, **(info or {})}
    symbols = [chemical_symbols[number] for number in data.numbers]
    return frame_text(symbols, {**columns, **data.atom_fields}, words, data.cell, data.pbc)


# --- parts --------------------------------------------------------------------------------------------------


class _Fields:
    """Sorts what ASE keeps by name into fields of atoms, fields of the system, and the rest."""

    def __init__(self, info: Mapping[str, Any], n_atoms: int) -> None:
        self.atom: dict[str, np.ndarray] = {}
        self.system: dict[str, np.ndarray] = {}
        self.info: dict[str, Any] = {name: info[name] for name in ("source", "frame") if name in info}
        self._n_atoms = n_atoms

    def add(self, name: str, value: Any, *, per_atom: bool) -> None:
        if name in self.info:
            return
        array = _numeric(value)
        # Results of a calculator come without a word on whether they belong to atoms.
        per_atom = per_atom or name in ("charges", "magmoms", "energies")
        if array is None or is_reserved(name):
            self.info[name] = value
        elif per_atom:
            self.atom[name] = array
        else:
            self.system[name] = array


def _numeric(value: Any) -> np.ndarray | None:
    """The value as an array, if it is made of numbers."""
    if isinstance(value, (str, bytes, Mapping)) or value is None:
        return None
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # rows of different lengths
        return None
    return array if array.dtype.kind in "biufc" else None


def _constraints(atoms: Atoms, name: str) -> tuple[np.ndarray, bool]:
    """Which atoms are fixed, and whether the centre of mass is."""
    fixed, center = np.zeros(len(atoms), bool), False
    for constraint in atoms.constraints:
        kind = type(constraint).__name__
        if kind == "FixAtoms":
            fixed[constraint.index] = True
        elif kind == "FixCom":
            center = True
        elif kind == "FixCartesian" and np.all(constraint.mask):
            fixed[constraint.index] = True
        elif kind != "FixCartesian" or np.any(constraint.mask):
            raise InputError(f"{name} has the constraint {kind}; adiabat knows FixAtoms and FixCom: remove it")
    return fixed, center


def _results(atoms: Atoms) -> dict[str, Any]:
    """What the calculator holds for these very positions; nothing is computed."""
    calculator = atoms.calc
    if calculator is None or getattr(calculator, "atoms", None) != atoms:
        return {}
    return {name: value for name, value in calculator.results.items() if value is not None}


def _full_stress(stress: np.ndarray) -> np.ndarray:
    """A stress (3, 3) from ASE's order xx, yy, zz, yz, xz, xy, or from what is full already."""
    return stress[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3) if stress.shape == (6,) else stress


def _ids(data: AtomicData) -> dict[str, int]:
    return {name: getattr(data, name) for name in ("system_id", "status") if getattr(data, name) is not None}


def _is_column_of_words(value: Any, n_atoms: int) -> bool:
    return isinstance(value, np.ndarray) and value.shape == (n_atoms,) and value.dtype.kind in "UOS"
