"""One system of atoms as NumPy arrays, unpadded: what is read from files, fills slots of a batch, and comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int32, Num

from adiabat.atoms.batch import Batch
from adiabat.errors import InputError

__all__ = ["COINCIDENT", "AtomicData"]

COINCIDENT = 1e-3
"""Two atoms nearer to each other than this, in angstrom, are a mistake."""

SMALLEST_VOLUME = 1e-6
"""Of the parallelepiped of the unit vectors along the lattice vectors; below it they count as dependent."""

HIGHEST_NUMBER = 118

ArrayLike: TypeAlias = Any  # an array of NumPy or JAX, a number, or numbers in lists
Fields = Mapping[str, Num[np.ndarray, "..."]]


@dataclass(frozen=True, eq=False, init=False, repr=False)
class AtomicData:
    """One system of n atoms. All arrays are copies of what was given, float64 unless said otherwise.

    Args:
        positions: (n, 3), angstrom.
        numbers: atomic numbers (n,).
        masses: (n,), amu; the standard ones by default.
        cell: lattice vectors in rows (3, 3), angstrom; zero, the default, where there is none.
        pbc: along which lattice vectors the system repeats, (3,) or one for all; nowhere by default.
        velocities: (n, 3), angstrom/fs; at rest by default.
        energy: eV; None where it is not known, and so for forces and stress.
        forces: (n, 3), eV/angstrom.
        stress: (3, 3), eV/angstrom**3, positive under tension as in ASE.
        fixed: atoms that do not move, bool (n,).
        fixed_center: whether the centre of mass stays where it is.
        atom_fields, system_fields: a user's own fields by name, (n, ...) and (...), of any numeric dtype.
        info: what is no array of numbers; `source` (a file) and `frame` (an index in it) name the system.
        system_id: which system this is, its index in the data set; None outside of one.
        status: code of the sub-stage the system is in; None before it entered one.

    Raises:
        InputError: an array has another shape, or a user's field has the name of one of adiabat's.
    """

    positions: Float64[np.ndarray, "n 3"]
    numbers: Int32[np.ndarray, " n"]
    masses: Float64[np.ndarray, " n"]
    cell: Float64[np.ndarray, "3 3"]
    pbc: Bool[np.ndarray, " 3"]
    velocities: Float64[np.ndarray, "n 3"]
    energy: float | None
    forces: Float64[np.ndarray, "n 3"] | None
    stress: Float64[np.ndarray, "3 3"] | None
    fixed: Bool[np.ndarray, " n"]
    fixed_center: bool
    atom_fields: Fields
    system_fields: Fields
    info: Mapping[str, Any]
    system_id: int | None
    status: int | None

    def __init__(
        self,
        positions: ArrayLike,
        numbers: ArrayLike,
        *,
        masses: ArrayLike | None = None,
        cell: ArrayLike | None = None,
        pbc: ArrayLike = False,
        velocities: ArrayLike | None = None,
        energy: Any = None,
        forces: ArrayLike | None = None,
        stress: ArrayLike | None = None,
        fixed: ArrayLike | None = None,
        fixed_center: Any = False,
        atom_fields: Mapping[str, ArrayLike] | None = None,
        system_fields: Mapping[str, ArrayLike] | None = None,
        info: Mapping[str, Any] | None = None,
        system_id: Any = None,
        status: Any = None,
    ) -> None:
        values: dict[str, Any] = {"info": dict(info or {}), "system_id": None if system_id is None else int(system_id)}
        self.__dict__.update(values)  # first of all, because messages name the system by them
        numbers = np.array(numbers).reshape(-1)
        n = len(numbers)
        if n and numbers.dtype.kind not in "iu":
            raise InputError(f"the atomic numbers of {self.name} are of type {numbers.dtype}; expected integers")
        values["numbers"] = numbers.astype(np.int32)
        values["masses"] = _standard_masses(values["numbers"]) if masses is None else self._array("masses", masses, n)
        values["positions"] = self._array("positions", positions, n, 3)
        values["cell"] = np.zeros((3, 3)) if cell is None else self._array("cell", cell, 3, 3)
        values["pbc"] = np.array(np.broadcast_to(np.asarray(pbc, bool), 3))
        values["velocities"] = np.zeros((n, 3)) if velocities is None else self._array("velocities", velocities, n, 3)
        values["energy"] = None if energy is None else float(energy)
        values["forces"] = None if forces is None else self._array("forces", forces, n, 3)
        values["stress"] = None if stress is None else self._array("stress", stress, 3, 3)
        values["fixed"] = np.zeros(n, bool) if fixed is None else self._array("fixed", fixed, n, dtype=bool)
        values["fixed_center"] = bool(fixed_center)
        values["atom_fields"] = {name: self._own_field(name, value, n) for name, value in (atom_fields or {}).items()}
        values["system_fields"] = {name: self._own_field(name, value) for name, value in (system_fields or {}).items()}
        values["status"] = None if status is None else int(status)
        self.__dict__.update(values)

    # --- looking --------------------------------------------------------------------------------------------

    @property
    def n_atoms(self) -> int:
        """The number of atoms n."""
        return len(self.numbers)

    @property
    def name(self) -> str:
        """What messages call this system: by its place in a file, else by its index in the data set."""
        return name_of(self.info, self.system_id)

    def replace(self, **changes: Any) -> AtomicData:
        """A system with these fields changed; a user's own fields by their names as well."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in changes.items():
            kind = next((k for k in ("atom_fields", "system_fields") if name in values[k]), None)
            if name in values:
                values[name] = value
            elif kind is not None:
                values[kind] = {**values[kind], name: value}
            else:
                raise AttributeError(f"a system has no field {name!r}")
        return AtomicData(**values)

    def __getattr__(self, name: str) -> Any:
        for kind in ("atom_fields", "system_fields"):
            own = self.__dict__.get(kind, {})
            if name in own:
                return own[name]
        raise AttributeError(f"a system has no field {name!r}")

    def __repr__(self) -> str:
        from ase.data import chemical_symbols

        kinds, counts = np.unique(self.numbers, return_counts=True)
        formula = "".join(
            f"{chemical_symbols[kind] if 0 <= kind <= HIGHEST_NUMBER else '?'}{count if count > 1 else ''}"
            for kind, count in zip(kinds, counts, strict=True)
        )
        return f"AtomicData({formula or 'no atoms'}, {self.name})"

    # --- checking -------------------------------------------------------------------------------------------

    def check(self) -> None:
        """See whether a simulation of this system makes sense.

        Raises:
            InputError: there are no atoms, or dummy ones; values are not finite; masses are not positive; a periodic
            system has no cell, or one without volume (left-handed ones are fine); two atoms are nearer to each
            other than `COINCIDENT`, periodic images counted. The message names the system.
        """
        for look in (self._bad_atoms, self._not_finite, self._bad_cell, self._coincidence):
            if problem := look():
                raise InputError(f"{self.name} {problem}")

    def _bad_atoms(self) -> str:
        if not self.n_atoms:
            return "has no atoms: expected at least one"
        bad = np.flatnonzero((self.numbers < 1) | (self.numbers > HIGHEST_NUMBER))
        if len(bad):
            return (
                f"has an atom of number {self.numbers[bad[0]]} (atom {bad[0]}): expected elements, "
                f"1 to {HIGHEST_NUMBER}, and no dummy atoms"
            )
        bad = np.flatnonzero(~(self.masses > 0) | ~np.isfinite(self.masses))
        if len(bad):
            return f"has an atom of mass {self.masses[bad[0]]} amu (atom {bad[0]}): expected positive masses"
        return ""

    def _not_finite(self) -> str:
        for name in ("positions", "velocities"):
            bad = np.flatnonzero(~np.isfinite(getattr(self, name)).all(axis=1))
            if len(bad):
                one = f"{name[:-1] if name == 'positions' else 'velocity'} of atom {bad[0]} is"
                return f"has {name} that are no numbers: the {one} {getattr(self, name)[bad[0]]}"
        return "" if np.isfinite(self.cell).all() else f"has a cell that is not finite: {self.cell.tolist()}"

    def _bad_cell(self) -> str:
        vectors = self.cell[self.pbc]
        if not len(vectors):
            return ""
        lengths = np.linalg.norm(vectors, axis=1)
        if not lengths.any():
            return "is periodic and has no cell: give one, or set pbc to false"
        if lengths.min() < COINCIDENT:
            which = np.flatnonzero(self.pbc)[lengths.argmin()]
            return f"repeats along lattice vector {which}, whose length is {lengths.min():.3g} angstrom"
        unit = vectors / lengths[:, None]
        if np.sqrt(max(np.linalg.det(unit @ unit.T), 0.0)) < SMALLEST_VOLUME:
            return (
                f"has a cell without volume: the lattice vectors {vectors.tolist()} along which it repeats are "
                "linearly dependent"
            )
        return ""

    def _coincidence(self) -> str:
        pair = _coincident_pair(self.positions, self.cell[self.pbc])
        if pair is None:
            return ""
        i, j, distance = pair
        image = "" if np.linalg.norm(self.positions[i] - self.positions[j]) < COINCIDENT else " of a periodic image"
        return f"has two atoms in one place: atom {i} and atom {j}{image} are {distance:.1e} angstrom apart"

    # --- building -------------------------------------------------------------------------------------------

    def _array(self, what: str, value: ArrayLike, *shape: int, dtype: Any = np.float64) -> np.ndarray:
        try:
            array = np.array(value, dtype)
        except (TypeError, ValueError) as error:
            raise InputError(f"{what} of {self.name} are no array of numbers of the shape {shape}") from error
        if 0 in shape and not array.size:
            array = array.reshape(shape)
        if array.shape != shape:
            raise InputError(f"{what} of {self.name} have the shape {array.shape}; expected {shape}")
        return array

    def _own_field(self, name: str, value: ArrayLike, *leading: int) -> np.ndarray:
        if is_reserved(name):
            raise InputError(f"{self.name} has a field of one's own that is called {name!r}; adiabat uses that name")
        array = np.array(value)
        if array.dtype.kind not in "biufc":
            raise InputError(f"the field {name!r} of {self.name} is no array of numbers; keep it in `info`")
        if array.shape[: len(leading)] != leading:
            raise InputError(f"the field {name!r} of {self.name} has {len(array)} rows for {leading[0]} atoms")
        return array


def name_of(info: Mapping[str, Any], system_id: int | None) -> str:
    """What messages call a system of which this much is known."""
    source, frame = info.get("source"), info.get("frame")
    if source is not None:
        return f"'{source}'" if frame is None else f"frame {frame} of '{source}'"
    return "the structure" if system_id is None else f"structure {system_id}"


def is_reserved(name: str) -> bool:
    """Whether no field of a user's own can have this name, because systems and batches use it themselves."""
    kinds = (AtomicData, Batch)
    return ":" in name or any(hasattr(kind, name) or name in kind.__dataclass_fields__ for kind in kinds)


def _standard_masses(numbers: Int32[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Standard atomic masses in amu; nan for what is no element, which `check` reports."""
    from ase.data import atomic_masses

    known = (numbers >= 1) & (numbers <= HIGHEST_NUMBER)
    return np.where(known, atomic_masses[np.where(known, numbers, 0)], np.nan)


def _coincident_pair(
    positions: Float64[np.ndarray, "n 3"], vectors: Float64[np.ndarray, "periodic 3"]
) -> tuple[int, int, float] | None:
    """The nearest two atoms if they are nearer than `COINCIDENT`, over all periodic images; their distance."""
    from scipy.spatial import cKDTree

    points, atoms = positions, np.arange(len(positions))
    if len(vectors):
        to_fractional = np.linalg.pinv(vectors)
        points = points - np.floor(points @ to_fractional) @ vectors
        for shifted, atom in _copies_at_faces(points, vectors, to_fractional):
            points, atoms = np.concatenate([points, shifted]), np.concatenate([atoms, atom])
    pairs = cKDTree(points).query_pairs(COINCIDENT, output_type="ndarray")
    if not len(pairs):
        return None
    distances = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    nearest = distances.argmin()
    i, j = sorted(atoms[pairs[nearest]].tolist())
    return i, j, float(distances[nearest])


def _copies_at_faces(
    points: Float64[np.ndarray, "n 3"],
    vectors: Float64[np.ndarray, "periodic 3"],
    to_fractional: Float64[np.ndarray, "3 periodic"],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images of the atoms that lie at the low faces of the cell, next to those at the high faces, and their atoms.

    Two atoms that are near each other across a face lie on its two sides, so no other image can be near.
    """
    atoms = np.arange(len(points))
    for vector, column in zip(vectors, to_fractional.T, strict=True):
        height = 1 / np.linalg.norm(column)
        near = np.flatnonzero((points @ column) * height < COINCIDENT)
        copies = points[near] + vector
        yield copies, atoms[near]
        points, atoms = np.concatenate([points, copies]), np.concatenate([atoms, atoms[near]])
