"""In-flight batching: who has ended is delivered and makes room for who waits, without recompiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from adiabat.engine.execution import Execution
from adiabat.engine.ledger import Ledger, Outcome
from adiabat.engine.occupancy import FAILED_STATUS
from adiabat.engine.state import CONVERGED, VACANT, PyTree

__all__ = ["Finished", "InFlight", "Outlet", "Source"]


@runtime_checkable
class Source(Protocol):
    """A queue of systems, each known by its index in a data set."""

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to be admitted."""

    def __len__(self) -> int:
        """Systems of the data set."""

    def empty(self) -> PyTree:
        """As many systems as there are slots, none of them there."""

    def fill(self, systems: PyTree, free: Sequence[int]) -> tuple[PyTree, dict[int, int], dict[int, str]]:
        """The systems with fresh ones in some of the free slots; who they are (slot: index); and who cannot be admitted
        at all (index: reason)."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """How far the queue has come, for a checkpoint."""

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""


class Finished(NamedTuple):
    """A system that has ended."""

    slot: int
    system_id: int
    outcome: Outcome
    stage: str
    steps: int
    reason: str


@runtime_checkable
class Outlet(Protocol):
    """Where systems go that have ended."""

    def deliver(self, batch: Any, finished: Sequence[Finished]) -> Sequence[Finished]:
        """Take some of the finished systems of the batch, in this order; returns those that found no room. A system
        that was delivered before, by a run that was cut off, is taken again without effect."""

    def sync(self) -> None:
        """Bring to disk what was delivered; called before every checkpoint, in whose ledger it counts as delivered."""


class InFlight:
    """Keeps the slots of a run occupied from `source` and hands what has ended to `outlet`: not before `frequency`
    steps have passed since the last time, unless nobody is at work any more."""

    def __init__(
        self, source: Source, outlet: Outlet | None = None, ledger: Ledger | None = None, frequency: int = 1
    ) -> None:
        self.source = source
        self.frequency = frequency
        self._last = -frequency  # the step of the last exchange
        self.outlet = outlet
        self.ledger = Ledger(len(source)) if ledger is None else ledger
        self.blocked = False  # whether something that has ended found no room in the outlet

    def exchange_if_due(self, execution: Execution, step: int) -> None:
        """As `exchange`, unless too few steps have passed."""
        if step == self._last or step >= self._last + self.frequency or not execution.populated:
            self._last = step
            self.exchange(execution)

    def exchange(self, execution: Execution) -> None:
        """Deliver who has ended, admit who waits; also those who fail as they enter."""
        while True:
            finished = self._finished(execution)
            waiting = self._deliver(execution, finished) if finished else []
            self.blocked = bool(waiting)
            if self.blocked or not self._admit(execution):
                break
        self.ledger.check([*self._moving(execution), *(each.system_id for each in waiting)])

    def _admit(self, execution: Execution) -> bool:
        """Fill free slots; returns whether somebody was admitted, who may have ended already."""
        free = np.flatnonzero(~execution.moving).tolist()
        if not free or self.source.exhausted:
            return False
        systems, ids, refused = self.source.fill(execution.state.systems, free)
        for system, reason in refused.items():
            self.ledger.refuse(system, reason)
        if ids:
            self.ledger.admit(ids.values())
            execution.admit(systems, ids)
        return bool(ids)

    def _finished(self, execution: Execution) -> list[Finished]:
        """Who has ended and was not delivered yet."""
        clock, last, found = execution.state.clock, execution.last_stage, []
        ids, ages = np.asarray(clock.system_id), np.asarray(clock.age)
        for slot in np.flatnonzero(~execution.moving & (ids != VACANT)).tolist():
            failed = execution.status[slot] == FAILED_STATUS
            stage, reason = execution.failures.get(slot, (last.label, ""))
            outcome = Outcome.FAILED if failed else Outcome.DONE
            if not failed and last.stage.convergence is not None and execution.ended[slot] != CONVERGED:
                outcome, reason = Outcome.UNFINISHED, f"not converged within {execution.stage_age[slot]} steps"
            found.append(Finished(slot, int(ids[slot]), outcome, stage, int(ages[slot]), reason))
        return found

    def _deliver(self, execution: Execution, finished: list[Finished]) -> Sequence[Finished]:
        batch = execution.last_stage.stage.as_batch(execution.state)
        left = [] if self.outlet is None else self.outlet.deliver(batch, finished)
        waiting = {each.slot for each in left}
        taken = [each for each in finished if each.slot not in waiting]
        for each in taken:
            self.ledger.close(each.system_id, each.outcome, steps=each.steps, stage=each.stage, reason=each.reason)
        execution.vacate([each.slot for each in taken])
        return left

    def _moving(self, execution: Execution) -> list[int]:
        ids: list[int] = np.asarray(execution.state.clock.system_id)[execution.moving].tolist()
        return ids

    # --- for checkpoints ------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Bring to disk what was delivered."""
        if self.outlet is not None:
            self.outlet.sync()

    def arrays(self) -> dict[str, Mapping[str, np.ndarray]]:
        """Ledger and queue as arrays."""
        return {"ledger": self.ledger.arrays(), "source": self.source.arrays()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Be what `arrays` gave, its paths joined with '/'."""
        for name, part in (("ledger", self.ledger), ("source", self.source)):
            prefix = f"{name}/"
            part.restore({path.removeprefix(prefix): x for path, x in arrays.items() if path.startswith(prefix)})
