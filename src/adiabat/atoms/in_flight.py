"""Structures that stream through the slots of a batch: from a sampler, into sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batch import Batch
from adiabat.atoms.batching import batch_from, put
from adiabat.atoms.dynamics_stage import fmax
from adiabat.atoms.sinks import Sink, write_to
from adiabat.atoms.size_aware_sampler import SizeAwareSampler
from adiabat.atoms.user_fields import UserField, UserFields
from adiabat.engine import Finished
from adiabat.errors import InputError

__all__ = ["SamplerSource", "SinkOutlet"]


class SamplerSource:
    """What is left in a sampler and fits into slots of `n_slot_atoms`, as the engine asks for it.

    `prepare` makes a batch ready for its potentials, `check` raises `InputError` for a system that cannot be used, and
    `init_fn` sets what the data set does not say. `rows` makes system fields, for so many systems, that those of the
    data set need not have.
    """

    def __init__(
        self,
        sampler: SizeAwareSampler,
        prepare: Callable[[Batch], Batch],
        n_slots: int,
        n_slot_atoms: int,
        init_fn: Callable[[Batch], Batch] | None = None,
        check: Callable[[AtomicData], None] = AtomicData.check,
        rows: Mapping[str, Callable[[int], Any]] | None = None,
    ) -> None:
        self.sampler = sampler
        self._rows = dict(rows or {})
        self._check = check
        self._prepare = prepare
        self._init_fn = init_fn
        self._n_slots, self._n_slot_atoms = n_slots, n_slot_atoms

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left that fits."""
        return self.sampler.smallest > self._n_slot_atoms

    def __len__(self) -> int:
        return len(self.sampler.dataset)

    def empty(self) -> Batch:
        """Slots in which nobody is."""
        # The potential makes its arrays as large as these need, not as nobody does.
        sampler = self.sampler
        systems = [self._with_rows(data.replace(system_id=None)) for data in self._samples()]
        fields = None if sampler.fields is None else {**sampler.fields, **self._row_fields()}
        batch = self._prepare(batch_from(systems, self._n_slot_atoms, self._n_slots, fields=fields))
        return put(batch, range(len(systems)), [None] * len(systems))

    def _samples(self) -> list[AtomicData]:
        """The first systems that can be used, as many as there are slots; among them all elements of a data set that is
        in memory, because programs are compiled anew when a potential meets one that it has not seen."""
        dataset, elements = self.sampler.dataset, set[int]()
        bringing, others = list[AtomicData](), list[AtomicData]()
        for index in np.flatnonzero(self.sampler.n_atoms <= self._n_slot_atoms).tolist():
            if len(others) >= self._n_slots and hasattr(dataset, "get_metadata"):
                break
            data = dataset[index].replace(system_id=index)
            new = set(data.numbers.tolist()) - elements
            if (new or len(others) < self._n_slots) and self._usable(data):
                elements |= new
                (bringing if new else others).append(data)
        return (bringing + others)[: self._n_slots]

    def _usable(self, data: AtomicData) -> bool:
        try:
            self._check(data)
        except InputError:
            return False
        return True

    def fill(self, systems: Batch, free: Sequence[int]) -> tuple[Batch, dict[int, int], dict[int, str]]:
        """The batch with fresh structures in free slots; those that no dynamics could begin with are refused."""
        admitted: dict[int, Any] = {}
        refused: dict[int, str] = {}
        slots = list(free)
        while len(admitted) < len(slots) and not self.exhausted:
            data = self.sampler.request_replacement(self._n_slot_atoms)
            assert data is not None
            assert data.system_id is not None
            try:
                self._check(data)
            except InputError as error:
                refused[data.system_id] = str(error)
            else:
                admitted[slots[len(admitted)]] = data
        if admitted:
            bare = [self._with_rows(data.replace(system_id=None)) for data in admitted.values()]
            systems = self._initialized(put(systems, admitted.keys(), bare), list(admitted))
        return systems, {slot: data.system_id for slot, data in admitted.items()}, refused

    def _with_rows(self, data: AtomicData) -> AtomicData:
        missing = {name: np.asarray(rows(1))[0] for name, rows in self._rows.items() if name not in data.system_fields}
        return data.replace(system_fields={**data.system_fields, **missing}) if missing else data

    def _row_fields(self) -> UserFields:
        made = {name: np.asarray(rows(1)) for name, rows in self._rows.items()}
        return {name: UserField(False, tuple(row.shape[1:]), row.dtype) for name, row in made.items()}

    def _initialized(self, systems: Batch, slots: list[int]) -> Batch:
        """The batch with what `init_fn` makes of the fresh systems; all others are left as they are."""
        if self._init_fn is None:
            return systems
        fresh = np.zeros(systems.n_systems, bool)
        fresh[slots] = True
        made = self._init_fn(systems)
        return jax.tree.map(lambda new, old: np.where(_like(fresh, old), new, old), made, systems)

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Who was handed out."""
        return self.sampler.state()

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        self.sampler.restore(arrays)


def _like(mask: np.ndarray, leaf: Any) -> np.ndarray:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - 1))


class SinkOutlet:
    """Sinks in the order of their priority, each system with how it ended, the largest force on it, and what is known
    of its input (`info_of` its index), among its `info`."""

    def __init__(self, sinks: Sequence[Sink], info_of: Callable[[int], Mapping[str, Any]] | None = None) -> None:
        self.sinks = list(sinks)
        self._info_of = info_of

    def deliver(self, batch: Batch, finished: Sequence[Finished]) -> list[Finished]:
        """Write the systems; returns those that found no room."""
        mask = np.zeros(batch.n_systems, bool)
        largest = fmax(jax.device_get(batch.replace(clock=None, own=None, neighbors=())), np)
        info: list[Mapping[str, Any]] = [{}] * batch.n_systems
        for each in finished:
            mask[each.slot] = True
            known = {} if self._info_of is None else self._info_of(each.system_id)
            info[each.slot] = {
                **known, "outcome": str(each.outcome), "reason": each.reason, "stage": each.stage, "steps": each.steps,
                "fmax": float(largest[each.slot]),
            }  # fmt: skip
        left = write_to(self.sinks, batch, mask, info)
        return [each for each in finished if left[each.slot]]

    def sync(self) -> None:
        """Bring all records to disk."""
        for sink in self.sinks:
            sink.sync()
