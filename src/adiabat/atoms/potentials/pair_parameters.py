"""Parameters by pair of elements: as a user writes them, as tables, and as numbers for each pair of atoms."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from numpy.typing import NDArray

from adiabat.atoms.batch import Batch
from adiabat.config import did_you_mean
from adiabat.errors import InputError

ElementPair: TypeAlias = tuple[int, int]
"""Two atomic numbers, the smaller one first."""


class Parameter(NamedTuple):
    """A number that a pair of elements has: what it is called, its unit, and whether it can be zero."""

    name: str
    unit: str
    can_be_zero: bool = False


def parameters_by_pair(
    given: Mapping[Any, Any], parameters: Sequence[Parameter], owner: str
) -> dict[ElementPair, tuple[float, ...]]:
    """What a user gave as ``{("Ar", "Kr"): (epsilon, sigma)}`` or ``{"Ar-Kr": ...}``, by atomic numbers.

    Raises
    ------
    InputError
        If a key is no pair of elements or a value is not as many numbers as there are parameters, if one of them is
        negative, or zero where it cannot be, or if a pair is given twice. `owner` names the potential.
    """
    found: dict[ElementPair, tuple[float, ...]] = {}
    for key, values in given.items():
        pair = _pair(key, owner)
        if pair in found:
            raise InputError(f"{owner}: the pair {pair_name(pair)} is given twice; expected it once, in either order")
        found[pair] = _numbers(values, parameters, f"{owner}: {pair_name(pair)}")
    return found


def _pair(key: Any, owner: str) -> ElementPair:
    from ase.data import atomic_numbers

    words = re.findall(r"[^\s,()'\"-]+", key) if isinstance(key, str) else list(key) if np.iterable(key) else [key]
    if len(words) == 1:
        words *= 2
    if len(words) != 2:
        raise InputError(f"{owner}: got {key!r} as a pair of elements; expected two symbols such as Ar-Kr")
    for word in words:
        if atomic_numbers.get(word, 0) < 1:
            raise InputError(
                f"{owner}: got {word!r} in the pair {key!r}; expected symbols of elements"
                f"{did_you_mean(word, atomic_numbers) if isinstance(word, str) else ''}"
            )
    first, second = sorted(atomic_numbers[word] for word in words)
    return first, second


def _numbers(values: Any, parameters: Sequence[Parameter], where: str) -> tuple[float, ...]:
    expected = "[" + ", ".join(f"{parameter.name} in {parameter.unit}" for parameter in parameters) + "]"
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != len(parameters):
        raise InputError(f"{where}: got {values!r}; expected {expected}")
    for parameter, number in zip(parameters, numbers, strict=True):
        if not math.isfinite(number) or number < 0 or (number == 0 and not parameter.can_be_zero):
            bound = ">= 0" if parameter.can_be_zero else "> 0"
            raise InputError(f"{where}: got {parameter.name} = {number:g} {parameter.unit}; expected a number {bound}")
    return numbers


def pair_name(pair: ElementPair) -> str:
    """The pair as it is written: Ar-Kr."""
    from ase.data import chemical_symbols

    return "-".join(chemical_symbols[number] for number in pair)


def pairs_by_system(batch: Batch) -> Iterator[tuple[int, list[ElementPair]]]:
    """For each slot that is not empty, the pairs of elements of its system; on the host."""
    for slot, numbers in enumerate(np.asarray(batch.numbers)):
        elements = np.unique(numbers[numbers > 0]).tolist()
        if elements:
            yield slot, list(combinations_with_replacement(elements, 2))


def table(
    elements: Sequence[int], lookup: Callable[[ElementPair], Iterable[float] | None], n_parameters: int
) -> NDArray[np.float64]:
    """The parameters (n_parameters, T, T) of all pairs of T elements; nan where `lookup` knows none."""
    values = np.full((n_parameters, len(elements), len(elements)), np.nan)
    for (i, first), (j, second) in combinations_with_replacement(enumerate(elements), 2):
        known = lookup((first, second))
        if known is not None:
            values[:, i, j] = values[:, j, i] = tuple(known)
    return values


def types_of(numbers: Int[Array, "S N"], elements: Sequence[int]) -> Int[Array, "S N"]:
    """The place of each atom's element among `elements`; 0 for what is not among them."""
    types = jnp.zeros_like(numbers)
    for place, element in enumerate(elements[1:], start=1):
        types = jnp.where(numbers == element, place, types)
    return types
