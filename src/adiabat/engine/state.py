"""The state of a simulation: the systems, the stage's private rows, and the clock that gives the random keys."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from adiabat.errors import InputError

__all__ = ["CONVERGED", "FAILED", "GOING", "VACANT", "Clock", "PyTree", "State", "over_systems", "strongly_typed"]

PyTree: TypeAlias = Any
Leaf: TypeAlias = Any  # an array; its shape alone while a program is being prepared
T = TypeVar("T")

VACANT = -1
"""The system id of a slot in which nobody is."""

GOING, CONVERGED, FAILED = 0, 1, 2
"""What `Clock.ended` says of a system in its present sub-stage."""


def _saying_how_to_change(cls: type[T]) -> type[T]:
    """A frozen dataclass whose refusal of an assignment says what to do instead."""

    def refuse(self: Any, name: str, value: Any = None) -> NoReturn:
        kind = type(self).__name__
        raise AttributeError(
            f"{kind}.{name} cannot be assigned to, because a {kind.lower()} never changes; "
            f"return a new one, made with .replace({name}=...)"
        )

    for method in ("__setattr__", "__delattr__"):
        setattr(cls, method, refuse)
    return cls


@_saying_how_to_change
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Clock:
    """Who each system is and how far it has come. Integer arrays (S,) of type int32, S the number of systems."""

    seed: Leaf  # uint32 (2,): key data of the run's seed, common to all systems
    system_id: Leaf  # which system this is, whatever slot it occupies
    status: Leaf  # code of the sub-stage the system is in
    age: Leaf  # the system's own steps since it was admitted
    stage_age: Leaf  # its steps in the present sub-stage
    attempt: Leaf  # how often the step at hand was rejected
    ended: Leaf  # GOING, or why the system rests until the host moves it on: CONVERGED, FAILED

    @classmethod
    def start(cls, seed: int, n_systems: int, status: int, system_ids: Any = None) -> Clock:
        """The clock of systems that were just admitted."""
        if not 0 <= seed < 2**64:
            raise InputError(f"the seed is {seed}; expected an integer from 0 to 2**64 - 1")
        ids = np.arange(n_systems) if system_ids is None else np.asarray(system_ids)
        zero = np.zeros(n_systems, np.int32)
        return cls(
            seed=np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32),
            system_id=ids.astype(np.int32),
            status=zero + np.int32(status),
            age=zero,
            stage_age=zero,
            attempt=zero,
            ended=zero + np.int32(GOING),
        )

    def replace(self, **changes: Any) -> Clock:
        """A clock with these fields changed."""
        return replace(self, **changes)


@_saying_how_to_change
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """All that evolves. Every array in `systems` and `own` has a leading system axis S (one molecule: S = 1)."""

    systems: PyTree  # what the systems are: parameters and walkers, or positions and cells
    own: PyTree  # a phase sees its stage's private rows; the Driver holds a dict of them by sub-stage
    clock: Clock
    scratch: PyTree = ()  # what one phase hands to the next; empty between steps
    metrics: Mapping[str, Leaf] = field(default_factory=dict)  # name -> (S,): the row of this step
    rejected: Leaf = False  # bool (S,): systems whose candidate must not be accepted

    def replace(self, **changes: Any) -> State:
        """A state with these fields changed."""
        return replace(self, **changes)

    @property
    def n_systems(self) -> int:
        """The number of systems S."""
        return int(self.clock.status.shape[0])

    def keys(self, purpose: str) -> Key[Array, " S"]:
        """One random key a system, for one purpose of the step: a phase's name, or a finer one of your own.

        Folded from the run's seed, the system's id, its own age, the purpose and the attempt: a system's
        random numbers do not know its neighbours, and a retried step draws anew.
        """
        root = jax.random.wrap_key_data(jnp.asarray(self.clock.seed), impl="threefry2x32")
        number = np.uint32(zlib.crc32(purpose.encode()))

        def fold(system_id: Leaf, age: Leaf, attempt: Leaf) -> Array:
            numbers = jnp.stack([jnp.asarray(n).astype(jnp.uint32) for n in (system_id, age, number, attempt)])
            # A loop, so that the folding is compiled once and not four times.
            return jax.lax.fori_loop(0, 4, lambda i, key: jax.random.fold_in(key, numbers[i]), root)

        return over_systems(fold)(self.clock.system_id, self.clock.age, self.clock.attempt)


def over_systems(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of one system, mapped over the leading system axis of all its arguments.

    A batch of one calls the function itself instead of `vmap`: the same results in less time.
    """

    def mapped(*arguments: PyTree) -> PyTree:
        leaves = jax.tree.leaves(arguments)
        if leaves and leaves[0].shape[0] == 1:
            alone = jax.tree.map(lambda x: x[0], arguments)
            return jax.tree.map(lambda x: jnp.asarray(x)[None], function(*alone))
        return jax.vmap(function)(*arguments)

    return mapped


def strongly_typed(tree: PyTree) -> PyTree:
    """The same arrays with no weak types among them, which would make a program compile twice."""

    def strong(x: Any) -> Any:
        if isinstance(x, np.ndarray) or jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return x
        return jax.lax.convert_element_type(x, x.dtype)

    return jax.tree.map(strong, tree)
