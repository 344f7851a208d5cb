"""Systems into a batch and out of it, slot by slot. Everything here runs on the host, in NumPy.

Where a system lacks a field: energy and forces that were never computed are nan in a batch until its potential sets
them, so that nothing can move on forces that were never there, and a stress that is not known is zero, as it is where
a potential gives none; all three come back as None. Of a user's own fields see `user_fields`. `info` holds words and
stays behind; `system_id` is what joins results with their inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batch import Batch
from adiabat.atoms.user_fields import UserFields, fields_of, fields_of_batch, given_name, merged
from adiabat.engine import VACANT, Clock
from adiabat.errors import InputError

__all__ = ["append", "batch_from", "index_select", "num_graphs", "num_nodes", "put", "to_data_list"]

PER_ATOM = ("positions", "numbers", "masses", "velocities", "forces", "fixed")


def batch_from(
    data: Sequence[AtomicData],
    n_slot_atoms: int | None = None,
    n_slots: int | None = None,
    *,
    fields: UserFields | None = None,
    status: int | None = None,
    seed: int = 0,
) -> Batch:
    """A batch of NumPy arrays with one system a slot, in order, and empty slots after them.

    Args:
        data: the systems. If they have system ids the batch has a clock.
        n_slot_atoms: atoms that a slot has room for; those of the largest system by default.
        n_slots: how many slots; one a system by default.
        fields: the user's fields that the batch shall have; those of `data` by default. A stream of systems needs
            those of all that will ever be `put` into the batch (`fields_of`).
        status: the sub-stage that the systems enter; by default the one they say, or 0.
        seed: of the clock.

    Raises:
        InputError: a system is larger than a slot, there are more systems than slots, some systems have ids and some
        have none, two have the same, or a user's field does not fit `fields`.
    """
    data = list(data)
    if n_slot_atoms is None:
        n_slot_atoms = max((system.n_atoms for system in data), default=0)
    if n_slots is None:
        n_slots = len(data)
    if len(data) > n_slots:
        raise InputError(f"{len(data)} systems do not fit into {n_slots} slots")
    if n_slots < 1 or n_slot_atoms < 1:
        raise InputError(f"a batch of {n_slots} slots for {n_slot_atoms} atoms is none: expected at least one of each")
    ids = [VACANT if system.system_id is None else system.system_id for system in data]
    clock = None
    if any(i != VACANT for i in ids):
        clock = Clock.start(seed, n_slots, VACANT, [VACANT] * n_slots)
    batch = _empty(n_slots, n_slot_atoms, fields_of(data) if fields is None else fields).replace(clock=clock)
    return put(batch, range(len(data)), data, status=status)


def to_data_list(batch: Batch) -> list[AtomicData]:
    """The systems of a batch in the order of their slots, empty slots left out."""
    batch = _on_host(batch)
    return [_taken(batch, slot) for slot in np.flatnonzero(batch.numbers.any(axis=1)).tolist()]


def put(
    batch: Batch,
    slot: int | Iterable[int],
    data: AtomicData | Sequence[AtomicData | None] | None,
    *,
    status: int | None = None,
) -> Batch:
    """A batch with this system in this slot, whatever was there before; None empties it. Also for several at once.

    All other slots are left as they are, bit for bit. In the clock the newcomer is of age 0. What a potential keeps
    about a slot (`neighbors`) becomes zero, and the private rows of integrators (`own`) stay: both have to be made
    anew, as at admission. The batch comes back with NumPy arrays.

    Args:
        status: the sub-stage that the systems enter; by default the one they say, or 0.

    Raises:
        InputError: the system is larger than the slot, has a field that the batch has not, lacks one that systems of
        this batch cannot lack, or has no id although the batch has a clock, or the id of another system there.
    """
    slots, systems = ([slot], [data]) if isinstance(slot, (int, np.integer)) else (list(slot), list(data))  # type: ignore[arg-type]
    for each in slots:
        if not 0 <= each < batch.n_systems:
            raise IndexError(f"there is no slot {each}; the batch has {batch.n_systems}")
    fields = fields_of_batch(batch)
    batch = _on_host(batch, writable=True)
    for each, system in zip(slots, systems, strict=True):
        _clear(batch, each)
        if system is not None:
            _place(batch, each, system, fields, status)
    if batch.clock is not None:
        ids = batch.clock.system_id[batch.numbers.any(axis=1)]
        if len(np.unique(ids)) < len(ids):
            raise InputError(f"two systems of one batch have the same system id: {sorted(ids.tolist())}")
    return batch


def index_select(batch: Batch, indices: Any) -> Batch:
    """The slots of a batch at these indices, in their order, or where a mask (S,) is true. In NumPy arrays: JAX would
    compile a program for each number of indices."""
    indices = np.asarray(indices)
    if indices.dtype == bool:
        if indices.shape != (batch.n_systems,):
            raise IndexError(f"a mask of the shape {indices.shape} is none for {batch.n_systems} slots")
        indices = np.flatnonzero(indices)
    indices = indices.astype(np.int64).reshape(-1)
    # JAX takes the nearest element for an index that is out of range.
    if len(indices) and not (-batch.n_systems <= indices.min() and indices.max() < batch.n_systems):
        raise IndexError(f"the indices {indices.tolist()} are not all among the {batch.n_systems} slots")

    def select(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[indices], tree)

    clock = batch.clock
    if clock is not None:
        clock = select(clock.replace(seed=())).replace(seed=clock.seed)
    return select(batch.replace(clock=None)).replace(clock=clock)


def append(batch: Batch, other: Batch) -> Batch:
    """The slots of one batch and after them those of another, all as large as the largest. In NumPy arrays.

    A user's field that one of them has not is filled and remembered as such. Neighbor lists and private rows are
    left out: their capacities may differ, and potentials and integrators make new ones.

    Raises:
        InputError: one has a clock and the other none, their seeds differ, a system id is in both, or fields of one
        name differ in shape.
    """
    batches = [_on_host(each) for each in (batch, other)]
    n = max(each.n_slot_atoms for each in batches)
    names = ("the first batch", "the second batch")
    fields = merged((name, fields_of_batch(each)) for name, each in zip(names, batches, strict=True))
    filled = [_with_fields(_widened(each, n), fields) for each in batches]
    clocks = [each.clock for each in batches]
    bare = [each.replace(clock=None, neighbors=(), own=None) for each in filled]
    joined: Batch = jax.tree.map(lambda *leaves: np.concatenate(leaves), *bare)
    return joined.replace(clock=_joined_clock(clocks))


def num_graphs(batch: Batch) -> int:
    """How many systems there are: slots that are not empty."""
    return int(np.asarray(batch.numbers).any(axis=1).sum())


def num_nodes(batch: Batch) -> int:
    """How many atoms there are in all systems together."""
    return int(np.count_nonzero(np.asarray(batch.numbers)))


# --- one slot -----------------------------------------------------------------------------------------------


def _empty(n_slots: int, n_slot_atoms: int, fields: UserFields) -> Batch:
    """A batch of empty slots."""
    vectors = (n_slots, n_slot_atoms, 3)
    given = {given_name(name): np.zeros(n_slots, bool) for name, field in fields.items() if field.lacking}
    return Batch(
        positions=np.zeros(vectors),
        numbers=np.zeros(vectors[:2], np.int32),
        masses=np.ones(vectors[:2]),
        velocities=np.zeros(vectors),
        cell=np.zeros((n_slots, 3, 3)),
        pbc=np.zeros((n_slots, 3), bool),
        energy=np.zeros(n_slots),
        forces=np.zeros(vectors),
        stress=np.zeros((n_slots, 3, 3)),
        fixed=np.zeros(vectors[:2], bool),
        fixed_center=np.zeros(n_slots, bool),
        atom_fields={name: field.zeros(*vectors[:2]) for name, field in fields.items() if field.per_atom},
        system_fields={name: field.zeros(n_slots) for name, field in fields.items() if not field.per_atom} | given,
    )


def _on_host(batch: Batch, *, writable: bool = False) -> Batch:
    """The batch with NumPy arrays; copies, if they are to be written to. Private rows stay where they are."""
    to_host = np.array if writable else np.asarray
    host: Batch = jax.tree.map(to_host, batch.replace(own=None))
    return host.replace(own=batch.own)


def _clear(batch: Batch, slot: int) -> None:
    """Empty a slot of writable arrays."""
    for leaf in jax.tree.leaves(batch.replace(clock=None, own=None)):
        leaf[slot] = 0
    batch.masses[slot] = 1
    if batch.clock is not None:
        for name in ("system_id", "status"):
            getattr(batch.clock, name)[slot] = VACANT
        for name in ("age", "stage_age", "attempt"):
            getattr(batch.clock, name)[slot] = 0


def _place(batch: Batch, slot: int, system: AtomicData, fields: UserFields, status: int | None) -> None:
    """Write a system into an empty slot of writable arrays."""
    n = system.n_atoms
    if n > batch.n_slot_atoms:
        raise InputError(f"{system.name} has {n} atoms, more than the {batch.n_slot_atoms} that a slot has room for")
    for name in ("positions", "numbers", "masses", "velocities", "fixed"):
        getattr(batch, name)[slot, :n] = getattr(system, name)
    for name in ("cell", "pbc", "fixed_center"):
        getattr(batch, name)[slot] = getattr(system, name)
    batch.energy[slot] = np.nan if system.energy is None else system.energy
    batch.forces[slot, :n] = np.nan if system.forces is None else system.forces
    batch.stress[slot] = 0.0 if system.stress is None else system.stress
    _place_fields(batch, slot, system, fields)
    if batch.clock is not None:
        if system.system_id is None:
            raise InputError(f"{system.name} has no system id: expected its index in the data set, as others have one")
        batch.clock.system_id[slot] = system.system_id
        batch.clock.status[slot] = next(s for s in (status, system.status, 0) if s is not None)


def _place_fields(batch: Batch, slot: int, system: AtomicData, fields: UserFields) -> None:
    own = {**system.system_fields, **system.atom_fields}
    if unknown := own.keys() - fields.keys():
        name = min(unknown)
        raise InputError(
            f"{system.name} has the field {name!r}, which the batch has not; name it when the batch is made"
        )
    for name, field in fields.items():
        if name not in own:
            if not field.lacking:
                raise InputError(f"{system.name} lacks the field {name!r}, which all systems of the batch have")
            continue
        home: Mapping[str, Any] = batch.atom_fields if field.per_atom else batch.system_fields
        there = system.atom_fields if field.per_atom else system.system_fields
        if name not in there or own[name].shape[field.per_atom :] != field.shape:
            raise InputError(f"the field {name!r} of {system.name} has another shape than in the batch: {field.shape}")
        if not np.can_cast(own[name].dtype, field.dtype, "safe"):
            raise InputError(f"the field {name!r} of {system.name} is {own[name].dtype}; the batch has {field.dtype}")
        place = (slot, slice(system.n_atoms)) if field.per_atom else (slot,)
        home[name][place] = own[name]
        if field.lacking:
            batch.system_fields[given_name(name)][slot] = True


def _taken(batch: Batch, slot: int) -> AtomicData:
    """The system in a slot of NumPy arrays."""
    here = batch.numbers[slot] > 0
    rows = {name: getattr(batch, name)[slot][here] for name in PER_ATOM}
    energy, stress, clock = batch.energy[slot], batch.stress[slot], batch.clock
    fields = fields_of_batch(batch)
    given = {name for name, field in fields.items() if not field.lacking or batch.system_fields[given_name(name)][slot]}
    unknown = len(rows["forces"]) > 0 and np.isnan(rows["forces"]).all()
    return AtomicData(
        **{**rows, "forces": None if unknown else rows["forces"]},
        cell=batch.cell[slot],
        pbc=batch.pbc[slot],
        energy=None if np.isnan(energy) else energy,
        stress=stress if stress.any() else None,
        fixed_center=batch.fixed_center[slot],
        atom_fields={name: row[slot][here] for name, row in batch.atom_fields.items() if name in given},
        system_fields={name: batch.system_fields[name][slot] for name in batch.system_fields if name in given},
        system_id=None if clock is None else clock.system_id[slot],
        status=None if clock is None else clock.status[slot],
    )


# --- two batches --------------------------------------------------------------------------------------------


def _widened(batch: Batch, n_slot_atoms: int) -> Batch:
    """The batch with slots for so many atoms."""
    more = n_slot_atoms - batch.n_slot_atoms

    def widen(rows: np.ndarray, nothing: float = 0.0) -> np.ndarray:
        return np.pad(rows, [(0, 0), (0, more)] + [(0, 0)] * (rows.ndim - 2), constant_values=nothing)

    arrays = {name: widen(getattr(batch, name), float(name == "masses")) for name in PER_ATOM}
    return batch.replace(**arrays, atom_fields={name: widen(row) for name, row in batch.atom_fields.items()})


def _with_fields(batch: Batch, fields: UserFields) -> Batch:
    """The batch with all these fields, of these types, and the word on which systems have them."""
    own = fields_of_batch(batch)
    atom: dict[str, np.ndarray] = {}
    system: dict[str, np.ndarray] = {}
    for name, field in fields.items():
        home, leading = (atom, batch.numbers.shape) if field.per_atom else (system, batch.numbers.shape[:1])
        rows = batch.atom_fields if field.per_atom else batch.system_fields
        home[name] = rows[name].astype(field.dtype) if name in own else field.zeros(*leading)
        if field.lacking:
            there = np.full(batch.n_systems, name in own)
            system[given_name(name)] = batch.system_fields.get(given_name(name), there)
    return batch.replace(atom_fields=atom, system_fields=system)


def _joined_clock(clocks: Sequence[Clock | None]) -> Clock | None:
    first, second = clocks
    if first is None and second is None:
        return None
    if first is None or second is None:
        raise InputError("one of the batches to join has system ids and the other has none: expected both or neither")
    if not np.array_equal(first.seed, second.seed):
        raise InputError("the batches to join come from runs of two seeds: expected one")
    twice = np.intersect1d(first.system_id[first.system_id >= 0], second.system_id[second.system_id >= 0])
    if len(twice):
        raise InputError(f"both batches to join have a system {twice[0]}: expected each system once")
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), first.replace(seed=()), second.replace(seed=()))
    return joined.replace(seed=first.seed)
