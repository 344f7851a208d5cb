"""A stage: one kind of work, made of three phases that every step goes through."""

from __future__ import annotations

import abc
from collections.abc import Mapping
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
    """Says which systems have reached what a stage is for."""

    @property
    def frequency(self) -> int:
        """Evaluated after every so many steps of a system in its stage."""

    def evaluate(self, state: State) -> Bool[np.ndarray, " S"]:
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

    def init(self, systems: PyTree, keys: Key[Array, " S"]) -> tuple[PyTree, PyTree]:
        """The systems on entering this stage, and the stage's private rows for them (compiled)."""
        del keys
        return systems, ()

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
