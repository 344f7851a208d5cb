"""The structures of a run, from files or from Python, in the order in which they were given."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adiabat.atoms.ase_conversion import extxyz_text, from_ase, read_data
from adiabat.atoms.atomic_data import AtomicData
from adiabat.errors import InputError
from adiabat.io.structures import UnreadableFrame

__all__ = ["StructureSet", "structures_from"]


@dataclass(frozen=True, eq=False)
class StructureSet:
    """Structures by their index, a data set for a sampler.

    Args:
        inputs: as they were given; one that could not be read has no atoms.
        problems: why those cannot be used that cannot, by index.
        name: of a run with them.
        fields: names of the user's own fields that the run needs; the others stay behind.
    """

    inputs: tuple[AtomicData, ...]
    problems: dict[int, str]
    name: str
    fields: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> AtomicData:
        data = self.inputs[index]
        atoms, system = (
            {name: value for name, value in own.items() if name in self.fields}
            for own in (data.atom_fields, data.system_fields)
        )
        return data.replace(atom_fields=atoms, system_fields=system)

    def check(self, data: AtomicData) -> None:
        """Raise `InputError` for a structure that cannot be used, known by its `system_id`."""
        assert data.system_id is not None
        problem = self.problems.get(data.system_id)
        if problem is not None:
            raise InputError(problem)

    def refuse(self, check: Callable[[AtomicData], None]) -> None:
        """Note the `InputError` that `check` raises for any structure that could be used so far."""
        for index in range(len(self)):
            if index not in self.problems:
                data = self.inputs[index]
                try:
                    if data.atom_fields or data.system_fields:
                        extxyz_text(data)  # what cannot be written at the end is found at the beginning
                    check(self[index].replace(system_id=index))
                except InputError as error:
                    name = self[index].replace(system_id=index).name
                    self.problems[index] = str(error) if name in str(error) else f"{name}: {error}"

    def source(self, index: int) -> str:
        """Where a structure is from: "file.extxyz@3", as ASE writes it; empty for those given in Python."""
        info = self.inputs[index].info
        return f"{info['source']}@{info['frame']}" if "frame" in info else str(info.get("source", ""))

    @property
    def digest(self) -> str:
        """A fingerprint of all that a run depends on."""
        found = hashlib.sha256()
        for data in self.inputs:
            own = [data.numbers, data.positions, data.velocities, data.masses, data.cell, data.pbc, data.fixed]
            given = {**data.atom_fields, **data.system_fields}
            fields = [given[name] for name in sorted(self.fields & given.keys())]
            for array in (*own, np.array(data.fixed_center), *fields):
                found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]


def structures_from(given: Any, *, strict: bool = False, fixed_center: bool | None = None) -> StructureSet:
    """Structures from a file or several, ASE's Atoms, `AtomicData`, or a sequence of those.

    Args:
        given: see above.
        strict: do without no structure: the first that cannot be read is an error.
        fixed_center: whether the centres of mass stay where they are; None: as each structure says.

    Raises:
        InputError: a file is missing, empty or no structure file; there is no structure; what was given is none.
    """
    inputs: list[AtomicData] = []
    problems: dict[int, str] = {}
    for data in _each(given, strict):
        if isinstance(data, UnreadableFrame):
            problems[len(inputs)] = str(data)
            data = AtomicData(np.zeros((0, 3)), np.zeros(0, int), info={"source": data.source, "frame": data.index})
        elif fixed_center is not None:
            data = data.replace(fixed_center=fixed_center)
        inputs.append(data)
    if not inputs:
        raise InputError(f"got no structures in {given!r}: expected at least one")
    return StructureSet(tuple(inputs), problems, _name(given))


def _each(given: Any, strict: bool) -> Iterator[AtomicData | UnreadableFrame]:
    if isinstance(given, (str, os.PathLike)):
        yield from read_data(given, strict)
    elif isinstance(given, AtomicData):
        yield given
    elif hasattr(given, "get_atomic_numbers"):
        yield from_ase(given)
    elif isinstance(given, Iterable) and not isinstance(given, (dict, bytes)):
        for one in given:
            yield from _each(one, strict)
    else:
        raise InputError(
            f"got {type(given).__name__} as structures: expected a file, ASE's Atoms, AtomicData, or several of them"
        )


def _name(given: Any) -> str:
    """After the first file, with how many more there are."""
    first, more = given, 0
    if isinstance(given, Collection) and not isinstance(given, str):
        first, more = next(iter(given), ""), len(given) - 1
    if not isinstance(first, (str, os.PathLike)):
        return "structures"
    stem = Path(first).name.partition(".")[0] or "structures"
    return f"{stem}-and-{more}-more" if more else stem
