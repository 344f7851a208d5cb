"""A user's own fields in a batch: which there are, of what shape and type, and which systems lack them.

A batch has every field for all its systems. Where a system lacks one the batch holds zeros, and remembers it in
a system field of bools, ``given:<name>``, which is there only if some system can lack the field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batch import Batch
from adiabat.errors import InputError

__all__ = ["UserField", "UserFields", "fields_of", "fields_of_batch", "given_name", "merged"]


@dataclass(frozen=True)
class UserField:
    """One field: (n, *shape) if it is `per_atom`, else `shape`; `lacking` if systems may be without it."""

    per_atom: bool
    shape: tuple[int, ...]
    dtype: np.dtype
    lacking: bool = False

    def zeros(self, *leading: int) -> np.ndarray:
        """Zeros of the field's type, (*leading, *shape)."""
        return np.zeros((*leading, *self.shape), self.dtype)


UserFields = Mapping[str, UserField]


def given_name(name: str) -> str:
    """The system field that says which systems have the field `name`."""
    return f"given:{name}"


def fields_of(data: Iterable[AtomicData]) -> dict[str, UserField]:
    """The fields of a batch that can hold all of these systems.

    Where the types of a field differ between systems, it gets one that holds both, as NumPy promotes them.

    Raises:
        InputError: a field has another shape in some system, or belongs to atoms in one and to the system in another.
    """
    return merged((system.name, _of_one(system)) for system in data)


def merged(holders: Iterable[tuple[str, UserFields]]) -> dict[str, UserField]:
    """The fields that can hold those of all holders, each given with its name for messages."""
    found: dict[str, UserField] = {}
    first_in: dict[str, str] = {}
    held: Counter[str] = Counter()
    n_holders = 0
    for holder, fields in holders:
        n_holders += 1
        for name, field in fields.items():
            before = found.setdefault(name, field)
            if (before.per_atom, before.shape) != (field.per_atom, field.shape):
                raise InputError(
                    f"the field {name!r} is {_described(before)} in {first_in[name]} and {_described(field)} in "
                    f"{holder}; expected the same in all structures that share a batch"
                )
            dtype, lacking = np.result_type(before.dtype, field.dtype), before.lacking or field.lacking
            found[name] = replace(before, dtype=dtype, lacking=lacking)
            first_in.setdefault(name, holder)
            held[name] += 1
    return {name: replace(field, lacking=field.lacking or held[name] < n_holders) for name, field in found.items()}


def fields_of_batch(batch: Batch) -> dict[str, UserField]:
    """The user's own fields that a batch has."""
    rows = {False: batch.system_fields, True: batch.atom_fields}
    return {
        name: UserField(
            per_atom,
            tuple(row.shape[1 + per_atom :]),
            np.dtype(row.dtype),
            lacking=given_name(name) in batch.system_fields,
        )
        for per_atom, mapping in rows.items()
        for name, row in mapping.items()
        if not name.startswith(given_name(""))
    }


def _of_one(system: AtomicData) -> dict[str, UserField]:
    rows: dict[bool, Mapping[str, Any]] = {False: system.system_fields, True: system.atom_fields}
    return {
        name: UserField(per_atom, row.shape[per_atom:], row.dtype)
        for per_atom, mapping in rows.items()
        for name, row in mapping.items()
    }


def _described(field: UserField) -> str:
    return f"{field.shape} for {'each atom' if field.per_atom else 'the system'}"
