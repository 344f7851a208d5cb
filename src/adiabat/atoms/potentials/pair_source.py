"""Where a pair potential has its pairs from, and which elements they may be of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from adiabat.atoms.batch import Batch
from adiabat.atoms.neighbors import AllPairs, NeighborList, images_needed

ALL_PAIRS = 64
"""Up to so many candidates an atom, periodic images counted, all pairs are looked at; above, a neighbor list is
faster."""

NO_ELEMENT = 1
"""Stands for the elements of a batch without atoms."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PairSource:
    """What a pair potential keeps in ``batch.neighbors``."""

    search: AllPairs | NeighborList
    elements: tuple[int, ...] = field(metadata={"static": True})
    """Atomic numbers, ascending: tables of parameters have their rows and columns in this order."""

    @classmethod
    def start(cls, batch: Batch, cutoff: float, skin: float, how: Literal["auto", "all-pairs", "list"]) -> PairSource:
        """For the systems of a batch; on the host. For errors see `images_needed`."""
        if how == "auto":
            images = images_needed(batch.cell, batch.pbc, cutoff)
            n_candidates = batch.n_slot_atoms * (1 if images is None else len(images))
            how = "all-pairs" if n_candidates <= ALL_PAIRS or math.isinf(cutoff) else "list"
        if how == "all-pairs":
            return cls(AllPairs.allocate(batch, cutoff), elements_in(batch) or (NO_ELEMENT,))
        return cls(NeighborList.allocate(batch, cutoff, skin), elements_in(batch) or (NO_ELEMENT,))

    def update(self, batch: Batch) -> PairSource:
        """After atoms or cells have changed."""
        return replace(self, search=self.search.update(batch))

    def outgrown(self, batch: Batch) -> Bool[Array, " S"]:
        """Which systems have more neighbors, need more images or have other elements than there is room for."""
        known = jnp.any(batch.numbers[..., None] == jnp.array((0, *self.elements)), axis=2)
        return self.search.outgrown | ~jnp.all(known, axis=1)

    def grown(self, batch: Batch) -> PairSource:
        """With room for what the systems of the batch need now besides; on the host."""
        search = self.search.grown(batch) if np.any(self.search.outgrown) else self.search
        return PairSource(search, tuple(sorted({*self.elements, *elements_in(batch)})))

    @property
    def room(self) -> Any:
        """Sizes and elements as JSON can hold them."""
        return {"search": self.search.room, "elements": self.elements}

    def with_room(self, room: Any) -> PairSource:
        """With the room that another one told; on the host."""
        return PairSource(self.search.with_room(room["search"]), tuple(room["elements"]))

    def resized(self, other: PairSource) -> PairSource:
        """As if there had been the room of the other one from the start; on the host."""
        return PairSource(self.search.resized(other.search.sizes), other.elements)  # type: ignore[arg-type]


def elements_in(batch: Batch) -> tuple[int, ...]:
    """The atomic numbers that occur in a batch, ascending; on the host."""
    numbers = np.unique(np.asarray(batch.numbers))
    return tuple(numbers[numbers > 0].tolist())
