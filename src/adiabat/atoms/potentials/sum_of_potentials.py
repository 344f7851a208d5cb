"""Several potentials at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool

from adiabat.atoms.batch import Batch
from adiabat.atoms.potentials.potential import Potential
from adiabat.config import setting
from adiabat.errors import InputError


@dataclass(frozen=True, eq=False)
class SumOfPotentials(Potential):
    """The sum of potentials, ``a + b``; each term finds its pairs by itself.

    The sum gives a stress if all terms do. ``batch.neighbors`` is a tuple with what each term keeps there.
    """

    terms: tuple[Potential, ...] = setting(kind="potentials", help="the potentials that are added")

    def __post_init__(self) -> None:
        if not self.terms:
            raise InputError("SumOfPotentials.terms: got none; expected at least one potential")
        flat = [part for term in self.terms for part in (term.terms if isinstance(term, SumOfPotentials) else (term,))]
        object.__setattr__(self, "terms", tuple(flat))

    @property
    def name(self) -> str:
        """The names of all terms."""
        return " + ".join(term.name for term in self.terms)

    @property
    def gives(self) -> frozenset[str]:
        """What all terms give."""
        return frozenset.intersection(*(term.gives for term in self.terms))

    @property
    def reads(self) -> frozenset[str]:
        """What any term reads."""
        return frozenset().union(*(term.reads for term in self.terms))

    @property
    def cutoff(self) -> float | None:
        """The largest of the terms."""
        return max((term.cutoff for term in self.terms if term.cutoff is not None), default=None)

    def check(self, batch: Batch) -> None:
        """Raise `InputError` if one of the terms cannot be used for a system of the batch."""
        for term in self.terms:
            term.check(batch)

    def prepare(self, batch: Batch) -> Batch:
        """The batch with what each term needs, a tuple in ``batch.neighbors``; on the host."""
        return batch.replace(
            neighbors=tuple(term.prepare(batch.replace(neighbors=())).neighbors for term in self.terms)
        )

    def evaluate(self, batch: Batch) -> Batch:
        """The batch with the sums of energies, forces and, if all terms give one, stresses."""
        parts = [term.evaluate(own) for term, own in zip(self.terms, self._own(batch), strict=True)]
        stress = sum(part.stress for part in parts) if "stress" in self.gives else jnp.zeros_like(parts[0].stress)
        return batch.replace(
            energy=sum(part.energy for part in parts),
            forces=sum(part.forces for part in parts),
            stress=stress,
            neighbors=tuple(part.neighbors for part in parts),
        )

    def outgrown(self, batch: Batch) -> Bool[Array, " S"]:
        """Of which systems the last `evaluate` of any term lacked room."""
        flags = [term.outgrown(own) for term, own in zip(self.terms, self._own(batch), strict=True)]
        return jnp.any(jnp.stack(flags), axis=0)

    def grow(self, batch: Batch, outgrown: Batch | None = None) -> Batch:
        """The batch with room for what each term lacked room for in `outgrown`."""
        later = self._own(batch if outgrown is None else outgrown)
        grown = [term.grow(*batches) for term, *batches in zip(self.terms, self._own(batch), later, strict=True)]
        return batch.replace(neighbors=tuple(own.neighbors for own in grown))

    def room(self, batch: Batch) -> Any:
        """Of each term."""
        return [term.room(own) for term, own in zip(self.terms, self._own(batch), strict=True)]

    def with_room(self, batch: Batch, room: Any) -> Batch:
        """The batch with as much room for each term."""
        parts = zip(self.terms, self._own(batch), room, strict=True)
        return batch.replace(neighbors=tuple(term.with_room(own, each).neighbors for term, own, each in parts))

    def _own(self, batch: Batch) -> list[Batch]:
        """The batch as each term sees it, with what that one keeps in ``neighbors``."""
        kept = batch.neighbors
        if not isinstance(kept, tuple) or len(kept) != len(self.terms):
            raise InputError(f"a batch has to be prepared for {self.name}: batch = potential.prepare(batch)")
        return [batch.replace(neighbors=own) for own in kept]
