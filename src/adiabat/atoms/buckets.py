"""Sizes of slots: few, because each is a program to compile, and close to the systems' sizes, because padding costs.

A bucket is a batch of slots of one size. Which systems share one follows from what a plan is predicted to cost,

    sum over buckets b of  compile_seconds + n_b * steps * seconds_per_step(N_b),

n_b the systems and N_b the slot size of a bucket. Since time grows with the size, the best plan cuts the sorted sizes
into intervals, and the best cuts are found exactly by dynamic programming.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from adiabat.errors import InputError

__all__ = ["Bucket", "BucketPlan", "CostModel", "plan_buckets", "slot_size"]

MULTIPLE = 8


@dataclass(frozen=True)
class CostModel:
    """What a plan costs. The defaults are of Lennard-Jones on one core; only their ratios matter.

    Args:
        compile_seconds: of the programs of one bucket.
        steps: that a system takes on average.
        pair_seconds: a step's time for each pair of a slot's atoms, where all pairs are looked at.
        atom_seconds: a step's time for each atom, where a neighbor list is used: whichever is less.
    """

    compile_seconds: float = 2.0
    steps: float = 300.0
    pair_seconds: float = 3e-9
    atom_seconds: float = 6e-7

    def seconds_per_step(self, n_slot_atoms: int | Int[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Of one system in a slot of this size."""
        n = np.asarray(n_slot_atoms, float)
        return np.asarray(np.minimum(self.pair_seconds * n**2, self.atom_seconds * n))


@dataclass(frozen=True, eq=False)
class Bucket:
    """Slots of one size, and the systems that go through them, by their index."""

    n_slot_atoms: int
    n_slots: int
    systems: Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class BucketPlan:
    """Buckets by ascending size.

    Args:
        occupancy: atoms that are there, of those that the slots have room for, while all slots are filled.
        seconds: what the cost model predicts, compilation included.
    """

    buckets: tuple[Bucket, ...]
    occupancy: float
    seconds: float

    def bucket_of(self, n_atoms: int) -> Bucket:
        """The smallest bucket whose slots have room for so many atoms.

        Raises:
            InputError: there is none.
        """
        for bucket in self.buckets:
            if n_atoms <= bucket.n_slot_atoms:
                return bucket
        raise InputError(f"{n_atoms} atoms are more than the {self.buckets[-1].n_slot_atoms} of the largest slots")


def slot_size(n_atoms: int) -> int:
    """Atoms that a slot for `n_atoms` has room for: a multiple of 8."""
    return max(-(-n_atoms // MULTIPLE), 1) * MULTIPLE


def plan_buckets(
    sizes: Sequence[int] | Int[np.ndarray, " systems"],
    *,
    max_batch_size: int = 64,
    max_atoms: int | None = None,
    largest: int | None = None,
    max_buckets: int = 4,
    names: Sequence[str] | None = None,
    cost: CostModel | None = None,
) -> BucketPlan:
    """The plan of least predicted cost.

    Args:
        sizes: atoms of each system.
        max_batch_size: most slots of a bucket.
        max_atoms: most atoms that the slots of one bucket have room for together, which is what memory holds.
        largest: most atoms of a slot; its size is a multiple of 8, or this.
        max_buckets: most buckets.
        names: of the systems, for messages.
        cost: the model.

    Raises:
        InputError: there are no systems, a limit is not positive, or a system is larger than any bucket may be.
    """
    found = np.asarray(sizes, np.int64)
    if not len(found):
        raise InputError("there are no structures to make slots for: expected at least one")
    for what, limit in (("max_batch_size", max_batch_size), ("max_atoms", max_atoms), ("max_buckets", max_buckets)):
        if limit is not None and limit < 1:
            raise InputError(f"{what} is {limit}; expected a positive integer")
    allowed = min((limit for limit in (largest, max_atoms) if limit is not None), default=None)
    if allowed is not None and found.max() > allowed:
        which = int(found.argmax())
        name = names[which] if names is not None else f"structure {which}"
        raise InputError(
            f"{name} has {found[which]} atoms, more than the {allowed} that a slot may have room for; "
            "allow larger slots or leave it out"
        )
    cost = cost or CostModel()
    widths = np.array([slot_size(int(n)) for n in found])
    if allowed is not None:
        widths = np.minimum(widths, allowed)
    kinds, counts = np.unique(widths, return_counts=True)
    chosen, seconds = _best_cuts(kinds, counts, cost, max_buckets)
    widths = chosen[np.searchsorted(chosen, widths)]
    buckets = []
    for width in chosen.tolist():
        systems = np.flatnonzero(widths == width)
        room = max_batch_size if max_atoms is None else min(max_batch_size, max_atoms // width)
        buckets.append(Bucket(width, min(room, len(systems)), systems))
    return BucketPlan(tuple(buckets), float(found.sum() / widths.sum()), seconds)


def _best_cuts(
    kinds: Int[np.ndarray, " kinds"], counts: Int[np.ndarray, " kinds"], cost: CostModel, max_buckets: int
) -> tuple[Int[np.ndarray, " buckets"], float]:
    """The slot sizes of the cheapest plan, ascending, and its seconds.

    ``best[j] = min_i best[i] + cost of one bucket for kinds i..j-1``, once for every number of buckets.
    """
    before = np.concatenate([[0], np.cumsum(counts)])
    per_system = cost.steps * cost.seconds_per_step(kinds)
    best = np.concatenate([[0.0], np.full(len(kinds), np.inf)])
    cheapest, cuts, history = np.inf, np.zeros(0, np.int64), []
    for _ in range(min(max_buckets, len(kinds))):
        totals = [
            best[:j] + cost.compile_seconds + (before[j] - before[:j]) * per_system[j - 1]
            for j in range(1, len(kinds) + 1)
        ]
        history.append([int(row.argmin()) for row in totals])
        best = np.array([np.inf, *(row.min() for row in totals)])
        if best[-1] < cheapest:
            cheapest, cuts = float(best[-1]), _cuts_back(history)
    return kinds[cuts], cheapest


def _cuts_back(history: list[list[int]]) -> Int[np.ndarray, " buckets"]:
    """The last kind of every bucket, from where each best sum came from."""
    end, ends = len(history[0]), []
    for came_from in reversed(history):
        ends.append(end - 1)
        end = came_from[end - 1]
    return np.array(ends[::-1], np.int64)
