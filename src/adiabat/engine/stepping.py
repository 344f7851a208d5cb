"""One step after the other: hooks, programs, rejections, and everything that follows a commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from adiabat.engine.callbacks import LogData, Rows, StopRun
from adiabat.engine.compiling import Tell
from adiabat.engine.dispatcher import FIRST, Dispatcher
from adiabat.engine.execution import Chunk, Execution
from adiabat.engine.fused import SubStage
from adiabat.engine.in_flight import InFlight
from adiabat.engine.occupancy import Mask
from adiabat.engine.program import CAPACITY
from adiabat.engine.rows import add_counts, host_numbers, metric_rows, newest, own_steps, what_is_wrong, why_failed
from adiabat.engine.saving import Saver
from adiabat.engine.state import PyTree, State
from adiabat.errors import NumericalError

if TYPE_CHECKING:
    from adiabat.engine.driver import Driver

__all__ = ["Stepper"]

BETWEEN = ("after_pre_update", "before_compute")  # the points between the first two phases


class Converged(NamedTuple):
    """Systems that have moved on because they converged."""

    before: State  # in which they converged
    mask: Mask


class Stepper:
    """Does the steps of a Driver, which is what its hooks are given."""

    def __init__(
        self,
        driver: Driver,
        execution: Execution,
        saver: Saver,
        tell: Tell,
        *,
        max_attempts: int,
        chunk_seconds: float,
        in_flight: InFlight | None = None,
    ) -> None:
        self.step_count = 0
        self.hooks = Dispatcher(())
        self.injected: PyTree = None  # samples for the step at hand
        self.deadline = float("inf")  # no program should run past it
        self.converged: Converged | None = None  # while hooks are told of it
        self.stop: StopRun | None = None  # asked for by someone who was told of a step that is committed
        self._driver = driver
        self._execution = execution
        self._saver = saver
        self._tell = tell
        self._in_flight = in_flight
        self._max_attempts = max_attempts
        self._chunk_seconds = chunk_seconds
        self._counts: dict[str, Any] = {}  # of what was not finite in the rejected attempts of the step at hand
        self._scratch: Mapping[str, Any] = {}  # what the last compute handed on, by sub-stage
        self._pace: dict[tuple[SubStage, ...], float] = {}  # seconds a step

    def handed_on(self, name: str) -> Any:
        """What the last `compute` left under this name in its scratch, if it ran as a program of its own."""
        parts = [hand for hand in self._scratch.values() if isinstance(hand, Mapping)]
        return next((hand[name] for hand in parts if name in hand), None)

    def save(self) -> None:
        """Write a checkpoint of the present state."""
        self._saver.save(self.step_count, self._before_saving)

    def _before_saving(self) -> None:
        self.tell("on_checkpoint", self.step_count)

    # --- a step in a run ------------------------------------------------------------------------------------

    def advance(self, most: int) -> None:
        """Commit at least one step and at most `most`, or count one rejection."""
        step = self.step_count
        log_data: LogData = {}
        most = min(most, self.hooks.program_starts(step, self._driver))
        self._execution.begin()
        self._scratch, self.injected = {}, None
        for point in FIRST:
            self.hooks.fire(point, step, log_data, self._driver)
        if self.injected is not None or self.hooks.splits(step):
            self._by_phases(log_data)
            return
        n = self._chunk(most)
        chunk = self._execution.advance(step, n)
        if chunk.n_steps:
            self._pace[chunk.subs] = chunk.seconds
        if chunk.n_steps:
            self._committed(chunk, log_data)
        if chunk.rejected is not None:
            row = {name: column[chunk.n_steps] for name, column in chunk.rows().items()}
            add_counts(self._counts, row, chunk.rejected)
            self._rejected(what_is_wrong(row, chunk.rejected))

    def _chunk(self, most: int) -> int:
        """How many steps the next program is to do."""
        pace = self._pace.get(self._execution.compiled)
        if pace is None:
            timely = 1.0
        else:
            left = max(self.deadline - time.monotonic(), 0.0)
            timely = min(self._chunk_seconds, left) / max(pace, 1e-9)
        n = min(most, CAPACITY, self._execution.steps_to_next_check(), max(int(min(timely, CAPACITY)), 1))
        return self.hooks.horizon(self.step_count, n)

    def _by_phases(self, log_data: LogData) -> None:
        """One step whose phases are programs of their own, because someone looks in between."""
        step, started = self.step_count, time.perf_counter()
        chunk: Chunk | None = None  # none as long as the step is not committed

        def fire(point: str) -> None:
            self.hooks.fire(point, step, log_data, self._driver)

        self.compute(fire)
        if self._execution.grown():
            return
        reason = self._reason() or self.hooks.rejecting(step, log_data, self._driver)
        if reason is None:
            log_data.update(host_numbers(self._execution.state.metrics))
            fire("before_parameter_update")
            if self.hooks.due("after_post_update", step):
                self._execution.phase("post_update", step)
                fire("after_post_update")
                chunk = self._execution.commit(started)
            else:
                chunk = self._execution.conclude(step, started)
        if chunk is not None:
            self._committed(chunk, log_data)
        else:
            reason = reason or self._reason() or ""
            add_counts(self._counts, self._execution.state.metrics, self._execution.rejected())
            self._execution.reject()
            self._rejected(reason)

    def compute(self, fire: Callable[[str], None] = lambda point: None) -> None:
        """The first two phases; in one program if nobody looks in between. `fire` calls the hooks of a point."""
        step, execution = self.step_count, self._execution
        if self.injected is None and not any(self.hooks.due(point, step) for point in BETWEEN):
            execution.phase("sample_and_compute", step)
        else:
            if self.injected is None:
                execution.phase("pre_update", step)
            else:
                execution.inject(self.injected, step)
            for point in BETWEEN:
                fire(point)
            execution.phase("compute", step)
        fire("after_compute")
        self._scratch = self._execution.state.scratch

    def _reason(self) -> str | None:
        """Why the step as far as it was computed must not be committed."""
        rejected = self._execution.rejected()
        return what_is_wrong(self._execution.state.metrics, rejected) if rejected.any() else None

    def _committed(self, chunk: Chunk, log_data: LogData) -> None:
        """Everything that follows a commit: systems move on, callbacks see the step, rows go out, files are saved."""
        first, self.step_count = self.step_count, self.step_count + chunk.n_steps
        last, hooks, measured = self.step_count - 1, self.hooks, self._execution.state.metrics
        for sub in chunk.subs:
            self._execution.timings.add(sub.label, steps=chunk.n_steps, seconds=chunk.seconds * chunk.n_steps)
        rows = []
        if hooks.listens("on_rows"):
            due = hooks.rows_due(own_steps(chunk), newest(chunk))
            reported = self._execution.reported(chunk)
            rows = metric_rows(chunk, first, reported, due, in_flight=self._in_flight is not None)
        slots = {system: slot for slot, system in enumerate(chunk.system_id.tolist())} if self._counts else {}
        for row in rows:
            counts, slot = self._counts if row["step"] == first else {}, slots.get(row.get("system"), 0)
            row.update((name, row[name] + each[slot]) for name, each in counts.items() if name in row)
        self._counts = {}
        if chunk.failed.any():
            self._execution.fail(why_failed(chunk))
        ended = self.move_on()
        last_log = log_data if last == first else {}
        points = ["on_step_end", "on_converge"] if self.converged is not None else ["on_step_end"]
        if any(hooks.due(point, last) for point in points):
            last_log.update(host_numbers(self._execution.state.metrics))
        try:
            for point in points:
                self.stop = hooks.fire_all(point, last, last_log, self._driver) or self.stop
        finally:
            self.converged = None
            logs = {first: log_data, last: last_log}
            self._hand_out(rows, {step: _without(log, measured) for step, log in logs.items()})
        self.exchange()
        self.tell("on_progress", self.step_count)
        for label, state in ended:
            self._saver.save_end(self.step_count, label, state, self._before_saving)
        if self._saver.due(self.step_count):
            self.save()

    def exchange(self) -> None:
        """Deliver who has ended and admit who waits, where systems come and go."""
        if self._in_flight is not None:
            self._in_flight.exchange_if_due(self._execution, self.step_count)
        while self._execution.resting:
            self.settle()
            if self._in_flight is not None:
                self._in_flight.exchange_if_due(self._execution, self.step_count)
        if self._in_flight is not None and self._in_flight.blocked:
            self.stop = self.stop or StopRun("there is no room left for systems that have ended")

    def settle(self) -> None:
        """Let those move on who have ended without a step, as who enters a sub-stage and has converged already."""
        self.move_on()
        if self.converged is not None:
            stop = self.hooks.fire_all("on_converge", max(self.step_count - 1, 0), {}, self._driver)
            self.stop, self.converged = stop or self.stop, None

    def _hand_out(self, rows: Rows, logs: Mapping[int, LogData]) -> None:
        """Rows, with what callbacks put into the log of a step, to those who write them."""
        for row in rows:
            extra = logs.get(row["step"], {})
            row.update((name, value) for name, value in extra.items() if name not in row)
        if rows:
            self.tell("on_rows", rows)

    def tell(self, method: str, *arguments: Any) -> None:
        """Tell the callbacks of something that is done; a StopRun of theirs takes effect after the step."""
        try:
            self.hooks.tell(method, *arguments, self._driver)
        except StopRun as stop:
            self.stop = stop

    def move_on(self) -> list[tuple[str, State]]:
        """Let systems change sub-stage; returns which sub-stages ended and in what state, notes who converged."""
        leaving, converged = self._execution.leaving()
        self.converged = None
        if not leaving:
            return []
        before = self._execution.state
        self._execution.move(leaving, converged)
        if converged.any():
            self.converged = Converged(before, converged)
        return [(label, before) for label in before.own if label not in self._execution.state.own]

    def _rejected(self, reason: str) -> None:
        """Tell of a rejected attempt, and fail after the last one that is allowed."""
        where = f"step {self.step_count} ({' + '.join(sub.label for sub in self._execution.populated)})"
        attempt = int(self._execution.attempt.max())
        self._tell("rejection", f"{where}: attempt {attempt} of {self._max_attempts} rejected: {reason}")
        if attempt >= self._max_attempts:
            self.save()
            kept = "" if self._saver.checkpoints is None else "; the last good state is saved"
            raise NumericalError(f"{where} failed {attempt} times, the last time because {reason}{kept}")

    # --- a step by hand -------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Back to the start of the step at hand."""
        self._execution.enter_all()
        if self._execution.rejected().any():
            self._execution.reject()
        else:
            self._execution.roll_back()
        self._scratch, self.injected = {}, None
        self._execution.begin()

    def update(self) -> None:
        """The last phase and the commit."""
        if self._execution.conclude(self.step_count, time.perf_counter()) is None:
            raise NumericalError(f"step {self.step_count} is rejected: {self._reason()}")
        self.step_count += 1
        self.settle()


def _without(log: LogData, measured: Mapping[str, Any]) -> LogData:
    """What callbacks put into the log of a step; of the metrics there, which are those of all systems, rows have their
    own."""
    return {name: value for name, value in log.items() if name not in measured}
