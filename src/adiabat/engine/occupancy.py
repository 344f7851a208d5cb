"""Who is in which slot and sub-stage: the state, and the host's copy of its clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int

from adiabat.engine.compiling import Tell
from adiabat.engine.fused import FusedStage, SubStage
from adiabat.engine.state import CONVERGED, VACANT, State

__all__ = ["FAILED_STATUS", "Mask", "Occupancy"]

Mask = Bool[np.ndarray, " S"]
Column = Int[np.ndarray, " S"]
FAILED_STATUS = -1  # of a system that failed


class Occupancy:
    """The slots of a run. The host's copies of the clock spare a look at the device after every program."""

    _state: State
    committed: State  # before the step at hand

    def __init__(self, stage: FusedStage, tell: Tell, n_slots: int) -> None:
        self.stage = stage
        self.failures: dict[int, tuple[str, str]] = {}  # by slot: the sub-stage, and why
        self._tell = tell
        self._nobody = np.zeros(n_slots, np.bool_)

    def _set(self, state: State) -> None:
        self._state = state
        self.status: Int[np.ndarray, " S"] = np.array(state.clock.status)
        self.stage_age: Int[np.ndarray, " S"] = np.array(state.clock.stage_age)
        self.attempt: Int[np.ndarray, " S"] = np.array(state.clock.attempt)
        self.ended: Int[np.ndarray, " S"] = np.array(state.clock.ended)
        present = set(self.status.tolist())
        self.populated = tuple(sub for sub in self.stage.sub_stages if sub.code in present)
        self.compiled = self.stage.together_with(self.populated)
        self._limited = tuple(
            sub for sub in self.populated if sub.stage.n_steps is not None or sub.stage.convergence is not None
        )
        codes = {sub.code for sub in self.populated}
        self.moving: Mask = np.array([code in codes for code in self.status.tolist()], np.bool_)

    @property
    def last_stage(self) -> SubStage:
        """The sub-stage that systems graduate from."""
        return [sub for sub in self.stage.sub_stages if sub.stage.n_steps != 0][-1]

    @property
    def resting(self) -> bool:
        """Whether a system waits to be moved on, having converged as it entered its sub-stage."""
        return bool((self.moving & (self.ended == CONVERGED)).any())

    def members(self, sub: SubStage) -> Mask:
        """The systems that are in `sub`."""
        return np.asarray(self.status == sub.code)

    def _beginning(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What a chunk notes of its first step."""
        clock = self._state.clock
        return self.status, np.asarray(clock.system_id), self.stage_age, np.array(clock.age), self.attempt

    # --- who is where ---------------------------------------------------------------------------------------

    def fail(self, reasons: Mapping[int, str]) -> None:
        """Take systems that failed (slot: reason) out of their sub-stage; their arrays stay as they are."""
        status, labels = self.status.copy(), {sub.code: sub.label for sub in self.stage.sub_stages}
        for slot, reason in reasons.items():
            self.failures[slot] = (labels[int(status[slot])], reason)
            status[slot] = FAILED_STATUS
        self._restart(self._nobody, status=status)
        self.committed = self._state
        self._tell_all(("failure", self._failure(slot)) for slot in reasons)

    def _failure(self, slot: int) -> str:
        label, reason = self.failures[slot]
        system, age = (int(np.asarray(x)[slot]) for x in (self._state.clock.system_id, self._state.clock.age))
        return f"system {system} failed in {label} after {age} steps: {reason}"

    def vacate(self, slots: Sequence[int]) -> None:
        """Nobody is in these slots any more."""
        status, system_id = self.status.copy(), np.array(self._state.clock.system_id)
        status[list(slots)], system_id[list(slots)] = self.stage.exit_status, VACANT
        for slot in slots:
            self.failures.pop(slot, None)
        self._restart(self._nobody, status=status, system_id=system_id)
        self.committed = self._state

    def _restart(self, systems: Mask, **columns: Int[np.ndarray, " S"]) -> None:
        """Clock columns as given; who restarts has done no step in its sub-stage, nor any that are given, yet."""
        clock = self._state.clock
        begun = {"stage_age": self.stage_age, "attempt": self.attempt, "ended": self.ended}
        changed = {name: np.where(systems, 0, column) for name, column in begun.items()} | columns
        if "age" in changed:
            changed["age"] = np.where(systems, 0, changed["age"])
        clock = clock.replace(**{name: column.astype(np.int32) for name, column in changed.items()})
        self._set(self._state.replace(clock=clock))
        kept = {sub.label for sub in self.compiled}
        self._state = self._state.replace(own={k: rows for k, rows in self._state.own.items() if k in kept})

    def _tell_all(self, news: Iterable[tuple[str, str]]) -> None:
        """Only when everything is in place: whoever hears it may look at the state, or stop the run."""
        for kind, message in news:
            self._tell(kind, message)
