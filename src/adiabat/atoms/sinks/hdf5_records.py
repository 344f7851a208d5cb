"""Records of systems in an HDF5 file: all atoms of all systems in a row, field by field.

The atoms of record i are the rows `first_atom[i]` to `first_atom[i + 1]` of the datasets of atoms: `positions`,
`numbers`, `masses`, `velocities`, `forces`, `fixed`, and a user's own in the group `atom_fields`. Those of systems have
one row a record: `cell`, `pbc`, `energy`, `stress`, `fixed_center`, `system_id`, `status`, a user's own in the group
`system_fields`, and `info` in JSON. Energy, forces and stress that are not known are nan, a status is -1, and where
a system lacks a user's field, `given:<name>` in `system_fields` says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.user_fields import UserField, UserFields, given_name

__all__ = ["FORMAT", "append_records", "keep_records", "read_records", "stored_fields"]

FORMAT = "adiabat systems 1"
PER_ATOM = ("positions", "numbers", "masses", "velocities", "forces", "fixed")
PER_SYSTEM = ("cell", "pbc", "energy", "stress", "fixed_center", "system_id", "status")
NO_STATUS = -1
CHUNK = 1024


def append_records(file: Any, records: Sequence[AtomicData], fields: UserFields) -> None:
    """Write records after those that are in the file. `fields` are all that its records have."""
    if not records:
        return
    file.attrs["format"] = FORMAT
    if "first_atom" not in file:
        _extend(file, "first_atom", 0, np.zeros(1, np.int64))
    ends = file["first_atom"][:]
    n_systems, n_atoms = len(ends) - 1, int(ends[-1])
    for name in PER_ATOM:
        _extend(file, name, n_atoms, np.concatenate([_known(data, name) for data in records]))
    for name in PER_SYSTEM:
        _extend(file, name, n_systems, np.array([_known(data, name) for data in records]))
    for name, field in fields.items():
        home = file.require_group("atom_fields" if field.per_atom else "system_fields")
        rows = [_own(data, name, field) for data in records]
        joined = np.concatenate(rows) if field.per_atom else np.stack(rows)
        _extend(home, name, n_atoms if field.per_atom else n_systems, joined)
        given = np.array([name in data.atom_fields or name in data.system_fields for data in records])
        _extend(file.require_group("system_fields"), given_name(name), n_systems, given)
    words = [json.dumps(dict(data.info), default=_plain) for data in records]
    _extend(file, "info", n_systems, np.array(words, object))
    _extend(file, "first_atom", n_systems + 1, n_atoms + np.cumsum([data.n_atoms for data in records], dtype=np.int64))


def read_records(file: Any, start: int, stop: int) -> list[AtomicData]:
    """The records from `start` to `stop`."""
    ends = file["first_atom"][start : stop + 1]
    atoms = slice(int(ends[0]), int(ends[-1]))
    per_atom = {name: file[name][atoms] for name in PER_ATOM}
    per_system = {name: file[name][start:stop] for name in PER_SYSTEM}
    atom_fields = {name: rows[atoms] for name, rows in file.get("atom_fields", {}).items()}
    system_fields = {name: rows[start:stop] for name, rows in file.get("system_fields", {}).items()}
    words = file["info"].asstr()[start:stop]
    return [
        _record(
            {name: rows[first - ends[0] : last - ends[0]] for name, rows in per_atom.items()},
            {name: rows[i] for name, rows in per_system.items()},
            {name: rows[first - ends[0] : last - ends[0]] for name, rows in atom_fields.items()},
            {name: rows[i] for name, rows in system_fields.items()},
            json.loads(words[i]),
        )
        for i, (first, last) in enumerate(pairwise(ends.tolist()))
    ]


def keep_records(file: Any, n_records: int) -> None:
    """Remove all but the first records."""
    n_atoms = int(file["first_atom"][n_records])
    for name in PER_ATOM:
        file[name].resize(n_atoms, axis=0)
    for name in (*PER_SYSTEM, "info"):
        file[name].resize(n_records, axis=0)
    for group, n_rows in (("atom_fields", n_atoms), ("system_fields", n_records)):
        for rows in file.get(group, {}).values():
            rows.resize(n_rows, axis=0)
    file["first_atom"].resize(n_records + 1, axis=0)


def stored_fields(file: Any) -> dict[str, UserField]:
    """The user's fields of a file."""
    groups = ((True, file.get("atom_fields", {})), (False, file.get("system_fields", {})))
    return {
        name: UserField(per_atom, tuple(rows.shape[1:]), rows.dtype, lacking=True)
        for per_atom, group in groups
        for name, rows in group.items()
        if not name.startswith(given_name(""))
    }


def _record(
    per_atom: Mapping[str, np.ndarray],
    per_system: Mapping[str, Any],
    atom_fields: Mapping[str, np.ndarray],
    system_fields: Mapping[str, Any],
    info: Mapping[str, Any],
) -> AtomicData:
    known = {**per_atom, **per_system}
    for name in ("energy", "forces", "stress"):
        known[name] = None if np.isnan(known[name]).all() else known[name]
    known["status"] = None if known["status"] == NO_STATUS else known["status"]
    given = {name for name in (*atom_fields, *system_fields) if system_fields.get(given_name(name), False)}
    return AtomicData(
        **known,
        atom_fields={name: rows for name, rows in atom_fields.items() if name in given},
        system_fields={name: rows for name, rows in system_fields.items() if name in given},
        info=info,
    )


def _known(data: AtomicData, name: str) -> Any:
    """A field, with what is not known in numbers."""
    value = getattr(data, name)
    if value is not None:
        return value
    unknown = {"energy": np.nan, "forces": np.full((data.n_atoms, 3), np.nan), "stress": np.full((3, 3), np.nan)}
    return unknown.get(name, NO_STATUS)


def _own(data: AtomicData, name: str, field: UserField) -> np.ndarray:
    there = (data.atom_fields if field.per_atom else data.system_fields).get(name)
    leading = (data.n_atoms,) if field.per_atom else ()
    return field.zeros(*leading) if there is None else there.astype(field.dtype)


def _extend(group: Any, name: str, start: int, rows: np.ndarray) -> None:
    """Write rows into a dataset from row `start` on; a new one has zeros before them."""
    import h5py

    if name not in group:
        shape, dtype = rows.shape[1:], h5py.string_dtype() if rows.dtype == object else rows.dtype
        group.create_dataset(name, (start, *shape), dtype, maxshape=(None, *shape), chunks=(CHUNK, *shape))
    dataset = group[name]
    dataset.resize(start + len(rows), axis=0)
    dataset[start:] = rows


def _plain(value: Any) -> Any:
    """What JSON can hold of a value."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
