"""A stage: one kind of work, made of three phases that every step goes through."""

from __future__ import annotations

import abc
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Key

from adiabat.engine.state import PyTree, State

if TYPE_CHECKING:
    from adiabat.engine.fused import FusedStage

__all__ = ["Convergence", "Stage"]


@runtime_checkable
class Convergence(Protocol):
    """Says which systems have reached what a stage is for.

    With an attribute ``traced = True``, `evaluate` is a pure function that is compiled into the step: a system that has
    converged rests from that very step on, however many steps the program goes on for the others, and one that has
    converged already when it enters takes no step at all. It then sees the systems and the own rows, and the metrics of
    the step only where they hold and save it work: it must do without them.
    """

    @property
    def frequency(self) -> int:
        """Evaluated after every so many steps of a system in its stage."""

    def evaluate(self, state: State) -> Bool[np.ndarray, " S"] | Bool[Array, " S"]:
        """Which systems have converged. Runs on the host; sees the stage's own rows and the last step's metrics."""


@dataclass(frozen=True, kw_only=True)
class Stage(abc.ABC):
    """An immutable description of one kind of work; all that evolves lives in the `State`.

    Subclasses are frozen dataclasses. The phases are pure functions of the state, traced once and compiled;
    they see their own rows in `state.own`, draw random numbers from `state.keys("pre_update")` and the like,
    hand things on in `state.scratch`, and report numbers in `state.metrics`.
    """

    name: str
    n_steps: int | None = None  # steps a system spends here; None: no limit
    convergence: Convergence | None = None  # when a system has had enough of this stage
    hooks: tuple[Any, ...] = ()  # callbacks that belong to this stage, inside those of the Driver
    extendable: bool = True  # whether a resumed run goes back to its end when it is given more to do
    fails_alone: bool = (
        False  # whether a rejected step fails its system, as it was before, instead of being tried again
    )

    @property
    def compiled_convergence(self) -> Convergence | None:
        """The criterion, if it is compiled into the step."""
        return self.convergence if getattr(self.convergence, "traced", False) else None

    @property
    def primes(self) -> bool:
        """Whether systems have to be primed."""
        return type(self).prime is not Stage.prime

    @property
    def host_convergence(self) -> Convergence | None:
        """The criterion, if it is evaluated on the host."""
        return None if self.compiled_convergence is not None else self.convergence

    def prime(self, systems: PyTree) -> PyTree:
        """The systems with everything `init` and the phases rely on, such as forces; called before `init` for systems
        that do not come from a sub-stage of the same `shared_compute` (compiled)."""
        return systems

    def init(self, state: State, keys: Key[Array, " S"]) -> tuple[PyTree, PyTree]:
        """The systems on entering this stage, and the stage's private rows for them (compiled)."""
        del keys
        return state.systems, ()

    def pre_update(self, state: State) -> State:
        """First phase: move what the energies are evaluated at (walkers, or the positions' drift)."""
        return state

    @abc.abstractmethod
    def compute(self, state: State) -> State:
        """Second phase: evaluate; set `rejected` for systems whose result is not finite, candidates included."""

    def post_update(self, state: State) -> State:
        """Third phase: move what follows from the evaluation (parameters, or the velocities' second kick)."""
        return state

    def finish(self, systems: PyTree, own: PyTree) -> PyTree:
        """The systems as the next stage gets them."""
        del own
        return systems

    def shared_compute(self) -> Hashable | None:
        """Stages that give the same have the same `compute`, of the systems alone: it is run once for all of them, and
        they are compiled together. None: it is this stage's alone."""
        return None

    def unsound(self, systems: PyTree) -> Bool[Array, " S"] | None:
        """Systems with which nothing can be begun, such as those whose forces are not finite: they fail on entering
        (compiled). None: that cannot happen."""
        del systems
        return None

    def outgrown(self, systems: PyTree) -> Bool[Array, " S"] | None:
        """Systems that did not fit into their arrays when they were last computed, so that the step must be done again
        in larger ones (compiled); such a stage has to fail alone. None: that cannot happen."""
        del systems
        return None

    def grow(self, systems: PyTree, outgrown: PyTree) -> PyTree:
        """`systems` in larger arrays, in which the step from them that gave `outgrown` fits. Runs on the host."""
        del outgrown
        return systems

    def room(self, systems: PyTree) -> Any:
        """How large the arrays have grown, as JSON can hold it, for checkpoints; None if they never do."""
        del systems
        return None

    def with_room(self, systems: PyTree, room: Any) -> PyTree:
        """`systems` in arrays as large as those of which `room` told. Runs on the host."""
        del room
        return systems

    def as_batch(self, state: State) -> Any:
        """What hook objects are given; default: the state."""
        return state

    def from_batch(self, state: State, batch: Any) -> State:
        """The state with what a hook object returned."""
        del state
        return batch

    def inject(self, state: State, samples: PyTree) -> State:
        """The state with `samples` (with the system axis) in place of what `pre_update` would draw."""
        del state, samples
        raise TypeError(f"stage {self.name!r} ({type(self).__name__}) draws no samples, so none can be injected")

    def signature(self) -> Mapping[str, str | int | float | bool | None]:
        """Settings on which a checkpoint and this stage must agree for a resumed run to make sense."""
        return {}

    def renewable(self) -> Mapping[str, str]:
        """Parts of the own rows, which are then a dict, that a resumed run may begin anew as `init` makes them, each
        by the setting in `signature` that it belongs to: {"optimizer": "opt_state"}."""
        return {}

    def partition(self) -> tuple[PyTree, PyTree]:
        """How the systems and the own rows are spread over a mesh: PartitionSpecs, in trees that are prefixes
        of theirs, whose first axis is that of the systems. Default: everything everywhere."""
        return PartitionSpec(), PartitionSpec()

    def __add__(self, other: Any) -> FusedStage:
        """`a + b`: systems go through `a`, then `b`."""
        from adiabat.engine.fused import fuse

        return fuse(self, other)
