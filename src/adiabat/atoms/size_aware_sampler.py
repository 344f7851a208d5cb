"""A queue of systems that hands out what fits into the room there is."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batch import Batch
from adiabat.atoms.batching import batch_from
from adiabat.atoms.buckets import slot_size
from adiabat.atoms.user_fields import UserFields, fields_of
from adiabat.errors import InputError

__all__ = ["SizeAwareSampler"]


@runtime_checkable
class DataSet(Protocol):
    """Systems by their index: a list of them, or what loads them one by one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> AtomicData: ...


class SizeAwareSampler:
    """Each system of a data set once, as soon as there is room for it; the largest that fits comes first.

    Nobody waits behind a system that does not fit, and large ones, which often take longest, are not left for the end.
    The system's id is its index in the data set. Among systems of one size the order is that of the data set, so
    the same requests are answered in the same way in every run.

    Args:
        dataset: a list of `AtomicData`, or what loads them by their index. If it has `get_metadata(i)`, that gives the
            numbers of atoms and edges (ordered pairs of neighbors) without loading the system; otherwise all systems
            are looked at once.
        max_atoms: atoms in all slots together, at the beginning; any number by default.
        max_edges: edges in all slots together, at the beginning.
        max_batch_size: how many systems are under way at once.
        count_edges: the edges of a system, for a data set without `get_metadata`.
        fields: the user's own fields of the batches; by default those that the systems have.
        without: systems that are not handed out.

    Raises:
        InputError: a limit is no positive integer, edges are limited and not known, or a system exceeds a limit alone.
    """

    def __init__(
        self,
        dataset: DataSet,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        max_batch_size: int | None = None,
        *,
        count_edges: Callable[[AtomicData], int] | None = None,
        fields: UserFields | None = None,
        without: Collection[int] = (),
    ) -> None:
        limits = {"max_atoms": max_atoms, "max_edges": max_edges, "max_batch_size": max_batch_size}
        for name, limit in limits.items():
            if limit is not None and limit < 1:
                raise InputError(f"{name} is {limit!r}; expected a positive integer, or None for no limit")
        self.dataset = dataset
        self.max_atoms, self.max_edges, self.max_batch_size = max_atoms, max_edges, max_batch_size
        self.n_atoms, self.n_edges = self._sizes(count_edges)
        self.fields = fields
        if fields is None and not hasattr(dataset, "get_metadata"):
            self.fields = fields_of(self._systems())
        self._taken = np.zeros(len(dataset), bool)
        self._taken[list(without)] = True
        self._queue()

    # --- asking ---------------------------------------------------------------------------------------------

    def build_initial_batch(
        self, n_slot_atoms: int | None = None, n_slots: int | None = None, *, status: int = 0, seed: int = 0
    ) -> Batch:
        """A batch of the first systems, with a clock, and empty slots where the limits leave no room.

        Args:
            n_slot_atoms: atoms that a slot has room for; enough for every system of the data set by default. Larger
                systems stay in the queue.
            n_slots: how many slots; by default `max_batch_size`, or as many as the other limits allow.
            status: the sub-stage that the systems enter.
            seed: of the clock.

        Raises:
            RuntimeError: the queue is exhausted.
        """
        if self.exhausted:
            raise RuntimeError("the sampler is exhausted: all systems of the data set have been handed out")
        if n_slot_atoms is None:
            n_slot_atoms = slot_size(int(self.n_atoms.max()))
        most = n_slots or self.max_batch_size or len(self.dataset)
        chosen: list[AtomicData] = []
        atoms, edges = self.max_atoms, self.max_edges
        while len(chosen) < min(most, self.max_batch_size or most):
            room = n_slot_atoms if atoms is None else min(n_slot_atoms, atoms)
            system = self.request_replacement(room, edges)
            if system is None:
                break
            chosen.append(system)
            atoms = None if atoms is None else atoms - system.n_atoms
            edges = None if edges is None else edges - int(self.n_edges[system.system_id])
        if not chosen:
            raise RuntimeError(f"no system that is left in the sampler fits into slots of {n_slot_atoms} atoms")
        if n_slots is None:
            n_slots = min(self.max_batch_size or len(chosen), len(self.dataset))
        return batch_from(chosen, n_slot_atoms, n_slots, fields=self.fields, status=status, seed=seed)

    def request_replacement(self, n_atoms: int, n_edges: int | None = None) -> AtomicData | None:
        """The next system that has at most so many atoms and edges, with its id; None if there is none."""
        for size in reversed(self._by_size[: bisect.bisect_right(self._by_size, n_atoms)]):
            bin_ = self._bins[size]
            fitting = (i for i in bin_ if n_edges is None or self.n_edges[i] <= n_edges)
            index = next(fitting, None)
            if index is not None:
                self._take(index, size)
                return self.dataset[index].replace(system_id=index, status=None)
        return None

    @property
    def exhausted(self) -> bool:
        """Whether every system has been handed out."""
        return not self._by_size

    @property
    def smallest(self) -> float:
        """Atoms of the smallest system that is left; infinity if none is."""
        return float(self._by_size[0]) if self._by_size else float("inf")

    def __len__(self) -> int:
        """Systems that are left."""
        return sum(map(len, self._bins.values()))

    # --- for checkpoints ------------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """Who has been handed out, a bit for each system."""
        return {"taken": np.packbits(self._taken), "n_systems": np.array(len(self._taken))}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            InputError: it is that of a data set of another size.
        """
        n_systems = int(state["n_systems"])
        if n_systems != len(self.dataset):
            raise InputError(f"the sampler's state is of {n_systems} systems; the data set has {len(self.dataset)}")
        self._taken = np.unpackbits(np.asarray(state["taken"], np.uint8), count=n_systems).astype(bool)
        self._queue()

    # --- parts ----------------------------------------------------------------------------------------------

    def _systems(self) -> Iterator[AtomicData]:
        return (self.dataset[i] for i in range(len(self.dataset)))

    def _sizes(self, count_edges: Callable[[AtomicData], int] | None) -> tuple[np.ndarray, np.ndarray]:
        """Atoms and edges of every system, checked against the limits."""
        get_metadata = getattr(self.dataset, "get_metadata", None)
        if get_metadata is not None:
            sizes = [tuple(get_metadata(i)) for i in range(len(self.dataset))]
        elif self.max_edges is not None and count_edges is None:
            raise InputError("max_edges is given, but not how many edges a system has: give count_edges")
        else:
            sizes = [(data.n_atoms, count_edges(data) if count_edges else 0) for data in self._systems()]
        n_atoms, n_edges = np.array(sizes, np.int64).reshape(-1, 2).T.copy()
        for what, found, limit in (("atoms", n_atoms, self.max_atoms), ("edges", n_edges, self.max_edges)):
            if limit is not None and len(found) and found.max() > limit:
                which = int(found.argmax())
                name = self.dataset[which].replace(system_id=which).name
                raise InputError(f"{name} has {found[which]} {what}, more than max_{what} = {limit} of a whole batch")
        return n_atoms, n_edges

    def _queue(self) -> None:
        """Sort those that are left by their size, in the order of the data set."""
        self._bins: dict[int, deque[int]] = {}
        for index in np.flatnonzero(~self._taken).tolist():
            self._bins.setdefault(int(self.n_atoms[index]), deque()).append(index)
        self._by_size = sorted(self._bins)

    def _take(self, index: int, size: int) -> None:
        self._taken[index] = True
        bin_ = self._bins[size]
        if bin_[0] == index:
            bin_.popleft()
        else:
            bin_.remove(index)
        if not bin_:
            del self._bins[size]
            self._by_size.remove(size)
