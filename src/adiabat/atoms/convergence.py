"""When a system has had enough of a stage: thresholds on what a batch holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.dynamics_stage import fmax
from adiabat.config.suggestions import did_you_mean
from adiabat.engine import HookStageEnum, checked_frequency
from adiabat.errors import InputError

__all__ = ["ConvergenceHook"]

OPERATIONS: Mapping[str, Callable[..., Array]] = {
    "min": jnp.min,
    "max": jnp.max,
    "norm": lambda x, axis: jnp.sqrt(jnp.sum(x * x, axis=axis)),
    "mean": jnp.mean,
    "sum": jnp.sum,
}
FMAX = {"key": "fmax", "threshold": 0.05}


@dataclass(frozen=True)
class _Criterion:
    key: str
    threshold: float = 0.0
    reduce_op: str | None = None
    reduce_dims: int | tuple[int, ...] = -1
    custom_op: Callable[[Any], Any] | None = None

    def reached(self, batch: Batch, observables: Mapping[str, Any]) -> Bool[Array, " S"]:
        value = self._value(batch, observables)
        if self.custom_op is not None:
            return jnp.asarray(self.custom_op(value))
        value = jnp.asarray(value)
        if self.reduce_op is not None:
            value = OPERATIONS[self.reduce_op](value, axis=self.reduce_dims)
        return self._largest(value, batch) <= self.threshold

    def _value(self, batch: Batch, observables: Mapping[str, Any]) -> Any:
        if self.key == "fmax":
            largest = observables["fmax"] if "fmax" in observables else fmax(batch)
            return jnp.maximum(largest, observables["cell_force"]) if "cell_force" in observables else largest
        if self.key in observables:
            return observables[self.key]
        if self.key not in batch.keys():  # noqa: SIM118 - a batch is no mapping
            there = ["fmax", *observables, *batch.keys()]
            raise KeyError(f"there is no {self.key!r} to converge{did_you_mean(self.key, there)} ({', '.join(there)})")
        return getattr(batch, self.key)

    def _largest(self, value: Array, batch: Batch) -> Float[Array, " S"]:
        """Of each system; atoms that are not there do not count."""
        if value.ndim > 1 and value.shape[1] == batch.n_slot_atoms and _is_of_atoms(self.key, batch):
            there = batch.real.reshape(batch.real.shape + (1,) * (value.ndim - 2))
            value = jnp.where(there, value, -jnp.inf)
        return jnp.max(value.reshape(value.shape[0], -1), axis=1)

    def __str__(self) -> str:
        if self.custom_op is not None:
            return f"{getattr(self.custom_op, '__name__', 'custom_op')}({self.key})"
        inner = self.key if self.reduce_op is None else f"{self.reduce_op}({self.key})"
        return f"{inner} <= {self.threshold:g}"


def _is_of_atoms(key: str, batch: Batch) -> bool:
    return key in ("positions", "velocities", "forces", "masses", "numbers", "fixed", *batch.atom_fields)


class ConvergenceHook:
    """A system has converged when all criteria hold: ``value <= threshold``.

    Parameters
    ----------
    criteria : mapping or sequence of mappings, optional
        ``key``: "fmax", a field of the batch, or what the dynamics observes; ``threshold``; ``reduce_op`` (min, max,
        norm, mean, sum) over ``reduce_dims`` (default -1) of each system's values, of which per atom the largest then
        counts; ``custom_op``: a function of the raw array that decides alone, (S,) booleans. Default: fmax <= 0.05
        eV/angstrom. Where the cell relaxes, "fmax" counts the forces on it as well, as ASE does.
    source_status, target_status : int, optional
        With both set, members of the one that converge move to the other.
    frequency : int
        Steps of a system between two looks.

    Raises
    ------
    KeyError
        An unknown key of a criterion, or a value that does not exist; lists those that do.
    TypeError
        Criteria that are no mappings.
    InputError
        An unknown operation, or a frequency that is no positive integer.
    """

    stage = HookStageEnum.AFTER_STEP

    def __init__(
        self,
        criteria: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        source_status: int | None = None,
        target_status: int | None = None,
        frequency: int = 1,
    ) -> None:
        given: Any = FMAX if criteria is None else criteria
        many = [given] if isinstance(given, Mapping) else given
        if not isinstance(many, Sequence) or isinstance(many, (str, bytes)) or not many:
            raise TypeError(f"criteria are one mapping or several; got {criteria!r}")
        self.criteria = tuple(_criterion(each) for each in many)
        self.source_status = source_status
        self.target_status = target_status
        self.frequency = checked_frequency(frequency, "a ConvergenceHook")

    @classmethod
    def from_fmax(
        cls,
        threshold: float = 0.05,
        source_status: int | None = None,
        target_status: int | None = None,
        frequency: int = 1,
    ) -> ConvergenceHook:
        """The largest force on an atom, constraints taken out, and on the cell if it relaxes, in eV/angstrom."""
        return cls({"key": "fmax", "threshold": threshold}, source_status, target_status, frequency)

    @classmethod
    def from_forces(
        cls,
        threshold: float,
        frequency: int = 1,
        source_status: int | None = None,
        target_status: int | None = None,
    ) -> ConvergenceHook:
        """The largest norm of the raw forces, in eV/angstrom."""
        criterion = {"key": "forces", "threshold": threshold, "reduce_op": "norm"}
        return cls(criterion, source_status, target_status, frequency)

    @property
    def num_criteria(self) -> int:
        """How many criteria have to hold."""
        return len(self.criteria)

    @property
    def traced(self) -> bool:
        """Whether it can be compiled into a step; a function of the user's may need numbers."""
        return all(criterion.custom_op is None for criterion in self.criteria)

    def reached(self, batch: Batch, observables: Mapping[str, Any] | None = None) -> Bool[Array, " S"]:
        """Which systems of the batch have converged."""
        found = [criterion.reached(batch, observables or {}) for criterion in self.criteria]
        return jnp.stack(found).all(axis=0)

    def evaluate(self, batch: Batch) -> np.ndarray | None:
        """Indices of the slots whose systems have converged, or None."""
        there = np.asarray(self.reached(batch)) & (np.asarray(batch.numbers) > 0).any(axis=1)
        if self.source_status is not None:
            there &= np.asarray(batch.status) == self.source_status
        indices = np.flatnonzero(there)
        return indices if len(indices) else None

    def __call__(self, batch: Batch, dynamics: Any) -> Batch | None:
        """Move members of ``source_status`` that have converged to ``target_status``, if both are set."""
        del dynamics
        if self.source_status is None or self.target_status is None or batch.clock is None:
            return None
        indices = self.evaluate(batch)
        if indices is None:
            return None
        status = np.array(batch.status)
        status[indices] = self.target_status
        return batch.replace(clock=batch.clock.replace(status=status))

    def __repr__(self) -> str:
        migration = "" if self.target_status is None else f", {self.source_status} -> {self.target_status}"
        every = "" if self.frequency == 1 else f", every {self.frequency} steps"
        return f"ConvergenceHook({' and '.join(map(str, self.criteria))}{migration}{every})"


def _criterion(given: Any) -> _Criterion:
    if not isinstance(given, Mapping):
        raise TypeError(f"a criterion is a mapping with a key and a threshold; got {given!r}")
    known = list(_Criterion.__dataclass_fields__)
    for name in given:
        if name not in known:
            raise KeyError(f"a criterion has no {name!r}{did_you_mean(str(name), known)} ({', '.join(known)})")
    if "key" not in given or ("threshold" not in given and given.get("custom_op") is None):
        raise KeyError(f"a criterion needs a key and a threshold, or a key and a custom_op; got {dict(given)!r}")
    operation = given.get("reduce_op")
    if operation is not None and operation not in OPERATIONS:
        names = ", ".join(OPERATIONS)
        raise InputError(
            f"reduce_op is {operation!r}{did_you_mean(str(operation), OPERATIONS)}; expected {names} or None"
        )
    return _Criterion(**given)
