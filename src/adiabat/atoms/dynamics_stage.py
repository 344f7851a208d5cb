"""Dynamics of atoms as a stage of the engine: two parts of an integrator, an evaluation of a potential in between."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from adiabat.atoms.batch import Batch
from adiabat.atoms.motion import constrained_forces
from adiabat.engine import Stage, State

if TYPE_CHECKING:
    from adiabat.atoms.convergence import ConvergenceHook
    from adiabat.atoms.dynamics import BaseDynamics

__all__ = ["Criterion", "DynamicsStage", "fmax"]


def fmax(batch: Batch, xp: Any = jnp) -> Float[Array | np.ndarray, " S"]:
    """The largest force on an atom that can move, in eV/angstrom; constraints taken out. `xp`: as there."""
    return xp.sqrt(xp.max(xp.sum(constrained_forces(batch, xp) ** 2, axis=-1), axis=-1))


@dataclass(frozen=True, eq=False)
class Criterion:
    """A `ConvergenceHook` as the engine asks it."""

    hook: ConvergenceHook
    dynamics: BaseDynamics

    @property
    def frequency(self) -> int:
        """Steps between two looks."""
        return self.hook.frequency

    @property
    def traced(self) -> bool:
        """Whether it is compiled into the step."""
        return self.hook.traced

    def evaluate(self, state: State) -> Bool[Array, " S"]:
        """Which systems have converged."""
        batch = as_batch(state)
        if self.traced and state.metrics:
            return self.hook.reached(batch, state.metrics)  # measured in this step, and nothing has changed since
        return self.hook.reached(batch, self.dynamics.observables(batch))


@dataclass(frozen=True, kw_only=True, eq=False)
class DynamicsStage(Stage):
    """A step: `pre_update` of the dynamics, one evaluation of its potential, `post_update`.

    A system whose energy or forces are not finite fails alone and stays as it was before. Stages of the same potential
    share its evaluation.
    """

    dynamics: BaseDynamics
    with_stress: bool = False  # whether anyone needs it: it takes as long as all else; where nobody does it is zero
    fails_alone: bool = True
    extendable: bool = False

    def prime(self, systems: Batch) -> Batch:
        """Forces valid for the positions, without which no integrator may begin."""
        batch = self.dynamics.model.evaluate(systems)
        return batch if self.with_stress else batch.replace(stress=jnp.zeros_like(jnp.asarray(batch.stress)))

    def init(self, state: State, keys: Key[Array, " S"]) -> tuple[Batch, Any]:
        """The private rows of the integrator."""
        del keys
        batch = self.dynamics.init(as_batch(state))
        return _bare(batch), batch.own

    def pre_update(self, state: State) -> State:
        """First part of the integrator's step."""
        return _with_batch(state, self.dynamics.pre_update(as_batch(state)))

    def compute(self, state: State) -> State:
        """Energy, forces and stress of the positions as they are."""
        batch = self.prime(state.systems)
        largest = fmax(batch)
        metrics = {**state.metrics, "energy": batch.energy, "fmax": largest}
        return state.replace(systems=batch, metrics=metrics, rejected=_unsound(batch, largest))

    def post_update(self, state: State) -> State:
        """Last part of the integrator's step, and what it measures."""
        batch = self.dynamics.post_update(as_batch(state))
        metrics = {**state.metrics, **self.dynamics.observables(batch)}
        if batch.energy is not state.systems.energy:
            metrics["energy"] = batch.energy
        if batch.forces is not state.systems.forces:
            metrics["fmax"] = fmax(batch)
        return _with_batch(state, batch).replace(metrics=metrics)

    def shared_compute(self) -> Hashable:
        """The potential, and what of it is asked for."""
        return id(self.dynamics.model), self.with_stress

    def unsound(self, systems: Batch) -> Bool[Array, " S"]:
        """Systems whose energy or forces are not finite."""
        return _unsound(systems, fmax(systems))

    def outgrown(self, systems: Batch) -> Bool[Array, " S"] | None:
        """Systems whose neighbor list was too small."""
        return self.dynamics.model.outgrown(systems) if jax.tree.leaves(systems.neighbors) else None

    def grow(self, systems: Batch, outgrown: Batch) -> Batch:
        """Larger neighbor lists."""
        grown: Batch = self.dynamics.model.grow(systems, outgrown)
        return grown

    def room(self, systems: Batch) -> Any:
        """How large the neighbor lists are."""
        return self.dynamics.model.room(systems)

    def with_room(self, systems: Batch, room: Any) -> Batch:
        """Neighbor lists as large as that."""
        return self.dynamics.model.with_room(systems, room)

    def as_batch(self, state: State) -> Batch:
        """What hooks see."""
        return as_batch(state)

    def from_batch(self, state: State, batch: Batch) -> State:
        """The state with what a hook changed."""
        return _with_batch(state, batch)


def _unsound(systems: Batch, largest: Any) -> Bool[Array, " S"]:
    return ~(jnp.isfinite(systems.energy) & jnp.isfinite(largest))


def as_batch(state: State) -> Batch:
    """The systems with their clock and the private rows."""
    batch: Batch = state.systems.replace(clock=state.clock, own=state.own)
    return batch


def _with_batch(state: State, batch: Batch) -> State:
    assert batch.clock is not None
    return state.replace(systems=_bare(batch), own=batch.own, clock=batch.clock)


def _bare(batch: Batch) -> Batch:
    """What of a batch is in `State.systems`: clock and private rows have places of their own there."""
    return batch.replace(clock=None, own=None)
