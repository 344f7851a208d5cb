"""The base of pair potentials: energy, forces and stress in one pass over pairs."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.neighbors import Pairs
from adiabat.atoms.potentials.pair_parameters import (
    ElementPair,
    Parameter,
    pair_name,
    pairs_by_system,
    parameters_by_pair,
    table,
    types_of,
)
from adiabat.atoms.potentials.pair_source import PairSource
from adiabat.atoms.potentials.potential import Potential, stress_from
from adiabat.config import check_settings, setting
from adiabat.errors import InputError

Number: TypeAlias = Any
"""A float, or an array that broadcasts with those beside it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PairPotential(Potential):
    """``E = sum over pairs of U(r)``, with parameters by pair of elements.

    A subclass says in `energy_and_slope` what U and ``U'(r)/r`` are. With d the vectors of length r from atom i to its
    neighbors j (as often as their periodic images lie within the cutoff) then

    ``F_i = sum_j (U'/r) d`` and ``stress = 1/(2V) sum_ij (U'/r) d d^T``

    Coincident atoms give what the formulas give for r = 0: infinities or nan, in their system only.
    """

    pairs: Mapping[Any, Any] = setting(factory=dict, help="parameters by pair of elements, as {Ar-Kr: [...]}")
    search: Literal["auto", "all-pairs", "list"] = setting(
        "auto", help="how pairs are found: among all atoms of a slot, by a neighbor list, or by what is faster"
    )
    skin: float = setting(1.0, above=0, unit="angstrom", help="how much farther than the cutoff a neighbor list sees")
    by_elements: Mapping[ElementPair, tuple[float, ...]] = field(init=False, repr=False)

    parameters: ClassVar[tuple[Parameter, ...]]
    """The numbers that each pair of elements has."""

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "by_elements", parameters_by_pair(self.pairs, self.parameters, type(self).__name__))

    @abc.abstractmethod
    def energy_and_slope(self, r2: Float[Array, "..."], *parameters: Number) -> tuple[Any, Any]:
        """U in eV and ``U'(r)/r`` in eV/angstrom**2 for squared distances, element by element."""

    @property
    @abc.abstractmethod
    def cutoff(self) -> float:
        """Distance in angstrom beyond which U is zero."""

    def parameters_of(self, pair: ElementPair) -> tuple[float, ...] | None:
        """The parameters of a pair of elements, None if there are none."""
        return self.by_elements.get(pair)

    # --- on the host ----------------------------------------------------------------------------------------

    def check(self, batch: Batch) -> None:
        """Raise `InputError` for the first pair of elements of a system that has no parameters."""
        for slot, pairs in pairs_by_system(batch):
            for pair in pairs:
                if self.parameters_of(pair) is None:
                    raise InputError(f"{self.name}: {self._missing(pair)} ({_system(batch, slot)})")

    def prepare(self, batch: Batch) -> Batch:
        """The batch with a `PairSource` in ``batch.neighbors``: which pairs to look at, of which elements."""
        return batch.replace(neighbors=PairSource.start(batch, self.cutoff, self.skin, self.search))

    def grow(self, batch: Batch, outgrown: Batch | None = None) -> Batch:
        """The batch with room for the neighbors, images and elements of `outgrown`, a later state of its systems."""
        later = batch if outgrown is None else outgrown
        return batch.replace(neighbors=_prepared(batch, self).resized(_prepared(later, self).grown(later)))

    def room(self, batch: Batch) -> Any:
        """Of the pairs and elements."""
        return _prepared(batch, self).room

    def with_room(self, batch: Batch, room: Any) -> Batch:
        """The batch with room for as many pairs and elements."""
        return batch.replace(neighbors=_prepared(batch, self).with_room(room))

    # --- traced ---------------------------------------------------------------------------------------------

    def outgrown(self, batch: Batch) -> Bool[Array, " S"]:
        """Which systems have more neighbors or a smaller cell than there is room for, or elements new to the batch."""
        return _prepared(batch, self).outgrown(batch)

    def evaluate(self, batch: Batch) -> Batch:
        """The batch with energy, forces and stress, and its neighbor list up to date."""
        source = _prepared(batch, self).update(batch)
        pairs = source.search.pairs(batch)
        energy, slope = self.truncated(pairs.r2, *self._parameters(batch, pairs, source.elements))
        energy, slope = jnp.where(pairs.inside, energy, 0.0), jnp.where(pairs.inside, slope, 0.0)
        x, y, z = slope * pairs.dx, slope * pairs.dy, slope * pairs.dz
        energies, *forces = pairs.totals(energy, x, y, z)
        return batch.replace(
            energy=0.5 * jnp.sum(energies, axis=1),
            forces=jnp.stack(forces, axis=2),
            stress=stress_from(_virial(x, y, z, pairs), batch),
            neighbors=source,
        )

    def truncated(self, r2: Float[Array, "..."], *parameters: Number) -> tuple[Any, Any]:
        """`energy_and_slope` of what is evaluated, if that is another function than U within the cutoff."""
        return self.energy_and_slope(r2, *parameters)

    def tables(self, elements: Sequence[int]) -> tuple[Any, ...]:
        """Arguments of `truncated` after r2: one array (T, T) each for T elements."""
        return tuple(table(elements, self.parameters_of, len(self.parameters)))

    def _parameters(self, batch: Batch, pairs: Pairs, elements: Sequence[int]) -> tuple[Number, ...]:
        tables = self.tables(elements)
        if len(elements) == 1:
            return tuple(values[0, 0] for values in tables)
        types = types_of(batch.numbers, elements)
        others = pairs.of_neighbors(types)
        # With all pairs this does not change from step to step, and XLA moves it out of the loop.
        return tuple(jnp.asarray(values)[types[:, :, None], others] for values in tables)

    def _missing(self, pair: ElementPair) -> str:
        expected = ", ".join(f"{parameter.name} in {parameter.unit}" for parameter in self.parameters)
        name = pair_name(pair)
        return f"no parameters for the pair {name}; give them as pairs: {{{name}: [{expected}]}}"


def _virial(
    x: Float[Array, "S N K"], y: Float[Array, "S N K"], z: Float[Array, "S N K"], pairs: Pairs
) -> Float[Array, "S 3 3"]:
    """Of pair forces (x, y, z). In a pass of its own, which XLA leaves out where no stress is asked for."""
    products = x * pairs.dx, y * pairs.dy, z * pairs.dz, y * pairs.dz, x * pairs.dz, x * pairs.dy
    xx, yy, zz, yz, xz, xy = (0.5 * jnp.sum(sums, axis=1) for sums in pairs.totals(*products))
    rows = (xx, xy, xz), (xy, yy, yz), (xz, yz, zz)
    return jnp.stack([jnp.stack(row, axis=1) for row in rows], axis=1)


def _prepared(batch: Batch, potential: Potential) -> PairSource:
    if not isinstance(batch.neighbors, PairSource):
        raise InputError(f"a batch has to be prepared for {potential.name}: batch = potential.prepare(batch)")
    return batch.neighbors


def _system(batch: Batch, slot: int) -> str:
    return f"slot {slot}" if batch.clock is None else f"system {int(batch.system_id[slot])}"
