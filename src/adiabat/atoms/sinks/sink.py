"""What every sink does: take finished systems of a batch, each once, as long as there is room."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batch import Batch
from adiabat.atoms.batching import index_select, to_data_list
from adiabat.errors import InputError

__all__ = ["Sink", "write_to"]

Mask = Bool[np.ndarray, " S"]


class Sink(abc.ABC):
    """An append-only store of systems, one record for each system id.

    A system that is there already is not written again, so a run that was killed and resumed may hand it over once
    more. A sink with a file goes on where the file ends. It is a sequence of `AtomicData`, in the order of arrival,
    and a context manager that closes it.

    Args:
        capacity: how many systems it takes; any number by default.
    """

    def __init__(self, capacity: int | None = None) -> None:
        if capacity is not None and capacity < 0:
            raise InputError(f"the capacity of a sink is {capacity!r}; expected a number of systems, or None")
        self.capacity = capacity
        self._places: dict[int, int] = {}  # system id -> record

    @property
    def is_full(self) -> bool:
        """Whether no further system fits."""
        return self.capacity is not None and len(self) >= self.capacity

    @property
    def system_ids(self) -> list[int]:
        """Who is there, in the order of arrival."""
        return list(self._places)

    def write(self, batch: Batch, mask: Any = None, info: Sequence[Mapping[str, Any]] | None = None) -> Mask:
        """Take systems of a batch, as many as fit, in the order of their slots.

        Args:
            batch: with a clock, which says who its systems are.
            mask: (S,), the slots to take; all by default. Empty slots hold nothing to take.
            info: words and numbers about each of the S slots that are kept with the system.

        Returns:
            The slots of the mask whose systems are in the sink now, bool (S,).

        Raises:
            InputError: the batch has no clock.
            OutputError: a file could not be written; nothing of this call counts as taken.
        """
        ids, wanted = _who(batch, mask)
        known = wanted & self._holds(ids)
        new = np.flatnonzero(wanted & ~known)
        if self.capacity is not None:
            new = new[: max(self.capacity - len(self), 0)]
        if len(new):
            records = to_data_list(index_select(batch, new))
            if info is not None:
                words = [info[slot] for slot in new.tolist()]
                records = [data.replace(info={**data.info, **w}) for data, w in zip(records, words, strict=True)]
            self._append(records)
            self._places.update(zip(ids[new].tolist(), range(len(self), len(self) + len(new)), strict=True))
        known[new] = True
        return known

    def find(self, system_id: int) -> AtomicData:
        """The record of a system; KeyError if it is not there."""
        return self._read(self._places[system_id])

    def truncate(self, n_records: int) -> None:
        """Forget all but the first records: what was written after a checkpoint that a run goes back to."""
        if n_records < len(self):
            self._truncate(n_records)
            self._places = dict(list(self._places.items())[:n_records])

    def sync(self) -> None:  # noqa: B027 - where nothing waits there is nothing to do
        """Bring all records to disk, so that they survive whatever happens: to be called before every checkpoint."""

    def close(self) -> None:
        """Bring all records to disk; nothing may be written afterwards."""
        self.sync()

    def __len__(self) -> int:
        return len(self._places)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, system_id: object) -> bool:
        return system_id in self._places

    def __getitem__(self, record: int) -> AtomicData:
        return self._read(range(len(self))[record])

    def __iter__(self) -> Iterator[AtomicData]:
        return (self._read(record) for record in range(len(self)))

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        room = "" if self.capacity is None else f" of {self.capacity}"
        return f"{type(self).__name__}({len(self)}{room} systems)"

    @abc.abstractmethod
    def _append(self, records: Sequence[AtomicData]) -> None:
        """Write records after those that are there, all or none."""

    @abc.abstractmethod
    def _read(self, record: int) -> AtomicData: ...

    @abc.abstractmethod
    def _truncate(self, n_records: int) -> None: ...

    def _holds(self, ids: Int[np.ndarray, " S"]) -> Mask:
        return np.array([i in self._places for i in ids.tolist()], bool)

    def _found(self, ids: Sequence[int], where: object) -> None:
        """The records that a file held already.

        Raises:
            InputError: a system is there twice.
        """
        self._places = {id_: record for record, id_ in enumerate(ids)}
        if len(self._places) < len(ids):
            raise InputError(f"'{where}' holds a system twice; a sink did not write it so: name another file")


def write_to(
    sinks: Sequence[Sink], batch: Batch, mask: Any = None, info: Sequence[Mapping[str, Any]] | None = None
) -> Mask:
    """Share systems of a batch out to sinks: the first takes what fits, the next what is left, and so on.

    A system that one of the sinks holds already is taken by no other.

    Returns:
        The slots whose systems found no room in any sink, bool (S,).
    """
    ids, left = _who(batch, mask)
    for sink in sinks:
        left &= ~sink._holds(ids)
    for sink in sinks:
        if left.any():
            left &= ~sink.write(batch, left, info)
    return left


def _who(batch: Batch, mask: Any) -> tuple[Int[np.ndarray, " S"], Mask]:
    """System ids (S,), and which slots are meant."""
    if batch.clock is None:
        raise InputError("a batch without a clock cannot go to a sink: expected to know who its systems are")
    wanted: Mask = np.asarray(np.array(batch.numbers, bool).any(axis=1))
    if mask is not None:
        wanted &= np.asarray(mask, bool)
    return np.asarray(batch.clock.system_id), wanted
