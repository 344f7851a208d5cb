"""What a run saves, when, and how it finds it again."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from adiabat.engine.checkpoint import CheckpointDamaged, Checkpoints, Saved
from adiabat.engine.compiling import Tell
from adiabat.engine.execution import Execution
from adiabat.engine.in_flight import InFlight
from adiabat.engine.resume import find_start, saved_state, saved_tree, surroundings
from adiabat.engine.state import State
from adiabat.errors import InputError, OutputError

__all__ = ["Saver"]


class Saver:
    """Writes the states of an execution to its checkpoints, if it has any, and keeps how each sub-stage ended."""

    def __init__(
        self,
        execution: Execution,
        checkpoints: Checkpoints | None,
        signature: Mapping[str, Any],
        tell: Tell,
        in_flight: InFlight | None = None,
    ) -> None:
        self.checkpoints = checkpoints
        self._execution = execution
        self._signature = dict(signature)
        self._tell = tell
        self._in_flight = in_flight
        # What was written or restored last; weakly, because it would otherwise take memory when no one else has it.
        self._saved: Callable[[], State | None] = _nothing
        self._known = False  # whether the checkpoints that are there are this run's
        self._ended: dict[str, State] = {}  # by sub-stage: when its last system was about to leave

    def due(self, step: int) -> bool:
        """Whether it is time for a checkpoint."""
        return self.checkpoints is not None and self.checkpoints.due(step)

    def save(self, step: int, before: Callable[[], None]) -> None:
        """Write the present state, unless that very state was written before. `before` is called just before."""
        state = self._execution.state
        if self.checkpoints is not None and self._execution.entered and state is not self._saved():
            before()
            self._write(step, state, None)
            self._saved = weakref.ref(state)

    def save_end(self, step: int, label: str, state: State, before: Callable[[], None]) -> None:
        """Keep for good how a sub-stage ended."""
        self._ended[label] = state
        if self.checkpoints is not None:
            before()
            self._write(step, state, label)

    def restore(self, renew: Collection[str] = ()) -> Saved | None:
        """Put the execution where the checkpoints say, see `Driver.restore`."""
        if self.checkpoints is None:
            raise InputError("this driver has no checkpoints; give it checkpoints=<folder>")
        found = find_start(self._execution, self.checkpoints, self._signature, self._tell, renew)
        if found is not None:
            # A state with something begun anew is in no file yet.
            self._saved = _nothing if renew else weakref.ref(self._execution.state)
            self._known = True
            if self._in_flight is not None:
                self._in_flight.restore(found.arrays)
            self._execution.timings.update(found.manifest.get("timings", {}))
            self.checkpoints.start(found.step)
            self._tell("resumed", f"going on from step {found.step}, saved in {found.path}")
        return found

    def refuse_to_overwrite(self) -> None:
        """Raise InputError if there are checkpoints of which this run knows nothing."""
        found = None if self.checkpoints is None else next(self.checkpoints.newest_first(), None)
        if found is not None and not self._known:
            raise InputError(f"{found} is there already; call restore() to go on from it, or name another folder")

    def state_in(self, label: str) -> State | None:
        """The state while systems are in a sub-stage, or when the last one was about to leave it; None if never."""
        if label in self._execution.state.own:
            return self._execution.state
        if label not in self._ended and self.checkpoints is not None and label in self.checkpoints.ends():
            path = self.checkpoints.ends()[label]
            try:
                saved = self.checkpoints.load(path)
            except CheckpointDamaged as error:
                raise OutputError(f"{path}, the end of {label}, is damaged: {error}") from error
            self._ended[label] = saved_state(saved, self._execution)
        return self._ended.get(label)

    def _write(self, step: int, state: State, end_of: str | None) -> None:
        assert self.checkpoints is not None
        manifest = {
            "signature": self._signature,
            "room": self._execution.room(state.systems),
            "surroundings": surroundings(),
            "timings": self._execution.timings.as_dict(),
            "populated": list(state.own),
            "stage_age": int(np.max(np.asarray(state.clock.stage_age))),
        }
        self._known = True
        beside: dict[str, Any] = {}
        if self._in_flight is not None:
            self._in_flight.sync()
            beside = self._in_flight.arrays()
        path = self.checkpoints.save(step, saved_tree(state) | beside, manifest, end_of=end_of)
        self._tell("checkpoint", f"saved {path}")


def _nothing() -> State | None:
    return None
