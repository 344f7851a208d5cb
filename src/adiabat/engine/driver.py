"""The Driver: repeats a stage's step, calls the callbacks, retries rejected steps, saves, stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool

from adiabat.engine.callbacks import HookStageEnum, LogData, Rows, StopRun
from adiabat.engine.checkpoint import Checkpoints
from adiabat.engine.dispatcher import FIRST, Dispatcher
from adiabat.engine.execution import Chunk, Execution
from adiabat.engine.fused import FusedStage, SubStage, fuse
from adiabat.engine.program import CAPACITY
from adiabat.engine.resume import find_start, saved_state, saved_tree, surroundings
from adiabat.engine.rows import host_numbers, metric_rows, what_is_wrong
from adiabat.engine.saving import Saver
from adiabat.engine.signals import SignalHandler
from adiabat.engine.stage import Stage
from adiabat.engine.state import PyTree, State
from adiabat.engine.timings import Timings
from adiabat.errors import InputError, Interrupted, NumericalError

__all__ = ["Driver"]


class Driver:
    """Runs a stage, or a FusedStage (`a + b`), on a batch of systems.

    Args:
        stage: what to do.
        seed: of all random numbers, 0 to 2**64 - 1.
        systems: pytree of arrays with a leading system axis S.
        callbacks: callback objects, hook objects and plain functions, for every run of this driver.
        max_attempts: how often a step is tried before the run fails with `NumericalError`.
        checkpoints: where and how often to save; None: never. See `restore`.
        signature: settings of the systems that must agree on resume, besides those of the stages.
        chunk_seconds: a program returns to the host after about this long.
        time_limit: seconds after which a run stops as after a signal.
        signals: looked at whenever a program returns; the caller installs it.
        mesh: devices to spread the arrays over, as the stages' `partition` says.
    """

    def __init__(
        self,
        stage: Stage | FusedStage,
        *,
        seed: int = 0,
        systems: PyTree = None,
        callbacks: Iterable[Any] = (),
        max_attempts: int = 10,
        checkpoints: Checkpoints | Path | str | None = None,
        signature: Mapping[str, Any] | None = None,
        chunk_seconds: float = 0.5,
        time_limit: float | None = None,
        signals: SignalHandler | None = None,
        mesh: Mesh | None = None,
    ) -> None:
        if max_attempts < 1 or chunk_seconds <= 0:
            raise InputError(
                f"max_attempts is {max_attempts} and chunk_seconds {chunk_seconds}; expected positive numbers"
            )
        self.stage = stage if isinstance(stage, FusedStage) else fuse(stage)
        self.callbacks = list(callbacks)
        self.max_attempts = max_attempts
        self.signature = {"seed": seed, **(signature or {}), **self.stage.signature()}
        self.chunk_seconds = chunk_seconds
        self.time_limit = time_limit
        self.signals = signals
        self.current_hook_stage: HookStageEnum | None = None
        self.current_mask: Bool[np.ndarray, " S"] | None = None
        self._hooks = Dispatcher(self.callbacks, self.stage.sub_stages)
        self._execution = Execution(self.stage, systems, seed, self._tell, mesh)
        self.checkpoints = Checkpoints(checkpoints) if isinstance(checkpoints, (Path, str)) else checkpoints
        self._saver = Saver(self._execution, self.checkpoints, self.signature, self._tell)
        self._step_count = 0
        self._scratch: Any = {}
        self._injected: PyTree = None
        self._pace: dict[tuple[SubStage, ...], float] = {}
        self._running = False
        self._deadline = float("inf")

    # --- what one looks at ---------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The present state; a callback may replace it by assigning another one."""
        return self._execution.state

    @state.setter
    def state(self, state: State) -> None:
        self._execution.replace_state(state)

    @property
    def step_count(self) -> int:
        """Steps committed so far, over all runs."""
        return self._step_count

    @property
    def step_attempt(self) -> int:
        """How often the step at hand was rejected."""
        return int(self._execution.attempt.max())

    @property
    def done(self) -> bool:
        """Whether every system has graduated."""
        return not self._execution.populated

    @property
    def active(self) -> tuple[str, ...]:
        """The sub-stages that systems are in."""
        return tuple(sub.label for sub in self._execution.populated)

    @property
    def stage_step(self) -> int:
        """Steps done in the present sub-stage, by the system that has done most."""
        return int(self._execution.stage_age.max())

    def own(self, label: str) -> PyTree:
        """Private rows of a sub-stage: as they are, or as they were when the last system left it; None if never."""
        state = self._saver.state_in(label)
        return None if state is None else state.own[label]

    def last_metrics(self, label: str) -> Mapping[str, Any]:
        """Metrics (S,) of the last step of a sub-stage, empty if it made none."""
        state = self._saver.state_in(label)
        return {} if state is None else dict(state.metrics)

    @property
    def timings(self) -> Timings:
        """Steps and seconds by sub-stage, compilation apart."""
        return self._execution.timings

    @property
    def direction(self) -> PyTree:
        """What `compute` left as `scratch["direction"]`, where it ran as a program of its own; else None."""
        return self._handed_on("direction")

    @property
    def loss(self) -> Any:
        """What `compute` left as `scratch["loss"]`; else the metrics of the last step, as a dict."""
        loss = self._handed_on("loss")
        return host_numbers(self.state.metrics) if loss is None else loss

    # --- running -------------------------------------------------------------------------------------------------

    def run(self, n_iter: int | None = None, out: Any = None, callback: Any = None) -> State:
        """Do `n_iter` steps (None: until every system has graduated) and return the state.

        Args:
            n_iter: steps to add to `step_count`.
            out: a callback that logs, or several, for this run only.
            callback: a callback, or several, for this run only.

        Raises:
            NumericalError: a step was rejected `max_attempts` times; the last good state is saved.
            Interrupted: by a signal or the time limit; the state is saved.
            OutputError: a checkpoint could not be written.
        """
        for _ in self._loop(n_iter, None, [*_listed(callback), *_listed(out)]):
            pass
        return self.state

    def loop(self, n_iter: int | None = None, every: int | None = 1) -> Iterator[tuple[int, State]]:
        """As `run`, yielding (step, state) after every `every` committed steps (None: when a program returns)."""
        return self._loop(n_iter, every, [])

    def _loop(self, n_iter: int | None, every: int | None, extra: list[Any]) -> Iterator[tuple[int, State]]:
        if self._running:
            raise RuntimeError("this driver is running already")
        self._hooks = Dispatcher([*self.callbacks, *extra], self.stage.sub_stages)
        self._execution.programs = self._execution.programs.with_traced(self._hooks.traced)
        self._running = True
        self._deadline = time.monotonic() + (float("inf") if self.time_limit is None else self.time_limit)
        try:
            with ExitStack() as stack:
                self._hooks.open(stack)
                yield from self._guarded(n_iter, every)
        finally:
            self._running = False

    def _guarded(self, n_iter: int | None, every: int | None) -> Iterator[tuple[int, State]]:
        """The steps, and what ends them: every callback is told once, whatever the others do."""
        interrupted: Interrupted | None = None
        try:
            try:
                yield from self._steps(n_iter, every)
            except (StopRun, GeneratorExit):
                self._execution.roll_back()
            except Interrupted as raised:
                interrupted = raised
            self._save()
        except BaseException as error:
            self._execution.roll_back()
            with jax.enable_x64(True):
                self._hooks.tell_all("on_run_error", self._step_count, error, self)
            raise
        with jax.enable_x64(True):
            failed = self._hooks.tell_all("on_run_end", self._step_count, self) or interrupted
        if failed is not None:
            raise failed

    def _steps(self, n_iter: int | None, every: int | None) -> Iterator[tuple[int, State]]:
        """The only loop."""
        if self._step_count == 0:
            self._saver.refuse_to_overwrite()
        shown = start = self._step_count
        end = 2**62 if n_iter is None else start + n_iter
        # Callbacks and convergence criteria work in the same scope of types as the programs; who gets what is yielded
        # does not, because the scope would otherwise leak into the caller's code.
        with jax.enable_x64(True):
            self._hooks.tell("on_run_start", start, self)
            self._execution.enter_all()
            self._move_on()
        while not self.done and self._step_count < end:
            stop = end if every is None else min(end, shown + every)
            before = self._step_count
            with jax.enable_x64(True):
                self._heed()
                self._advance(stop - before)
            if self._step_count > before and (every is None or self._step_count == stop or self.done):
                shown = self._step_count
                yield self._step_count - 1, self.state

    def _heed(self) -> None:
        """Stop if a signal came or the time is up."""
        if self.signals is not None and self.signals.requested:
            reason = f"signal {self.signals.requested}"
        elif time.monotonic() >= self._deadline:
            reason = f"the time limit of {self.time_limit:g} s"
        else:
            return
        self._tell("interrupted", f"stopping at step {self._step_count} because of {reason}")
        raise Interrupted(f"stopped at step {self._step_count} by {reason}; the same command goes on from there")

    # --- one advance ---------------------------------------------------------------------------------------------

    def _advance(self, most: int) -> None:
        """Commit at least one step and at most `most`, or count one rejection."""
        step = self._step_count
        log_data: LogData = {}
        self._execution.begin()
        self._scratch, self._injected = {}, None
        for point in FIRST:
            self._hooks.fire(point, step, log_data, self)
        if self._injected is not None or self._hooks.splits(step):
            self._advance_by_phases(log_data)
            return
        n = self._chunk(most)
        chunk = self._execution.advance(step, n)
        self._pace[chunk.subs] = chunk.seconds
        if chunk.count:
            self._committed(chunk, log_data)
        if chunk.rejected is not None:
            row = {name: column[chunk.count] for name, column in chunk.rows().items()}
            self._rejected(what_is_wrong(row, chunk.rejected))

    def _chunk(self, most: int) -> int:
        """How many steps the next program is to do."""
        pace = self._pace.get(self._execution.populated)
        if pace is None:
            timely = 1.0
        else:
            left = max(self._deadline - time.monotonic(), 0.0)
            timely = min(self.chunk_seconds, left) / max(pace, 1e-9)
        n = min(most, CAPACITY, self._execution.steps_to_next_check(), max(int(min(timely, CAPACITY)), 1))
        return self._hooks.horizon(self._step_count, n)

    def _advance_by_phases(self, log_data: LogData) -> None:
        """One step whose phases are programs of their own, because someone looks in between."""
        step, start = self._step_count, time.perf_counter()

        def fire(point: str) -> None:
            self._hooks.fire(point, step, log_data, self)

        self._compute(fire)
        reason = self._reason() or self._hooks.rejecting(step, log_data, self)
        if reason is None:
            log_data.update(host_numbers(self.state.metrics))
            fire("before_parameter_update")
            self._execution.phase("post_update", step)
            fire("after_post_update")
            reason = self._reason()
        if reason is None:
            self._committed(self._execution.commit(time.perf_counter() - start), log_data)
            return
        self._execution.reject()
        self._rejected(reason)

    def _compute(self, fire: Callable[[str], None]) -> None:
        if self._injected is None:
            self._execution.phase("pre_update", self._step_count)
        else:
            self._execution.inject(self._injected, self._step_count)
        fire("after_pre_update")
        fire("before_compute")
        self._execution.phase("compute", self._step_count)
        fire("after_compute")
        self._scratch = self.state.scratch

    def _reason(self) -> str | None:
        """Why the step as far as it was computed must not be committed."""
        rejected = self._execution.rejected()
        return what_is_wrong(self.state.metrics, rejected) if rejected.any() else None

    def _committed(self, chunk: Chunk, log_data: LogData) -> None:
        """Everything that follows a commit: systems move on, callbacks see the step, rows go out, files are saved."""
        first, self._step_count = self._step_count, self._step_count + chunk.count
        last, hooks = self._step_count - 1, self._hooks
        for sub in chunk.subs:
            self.timings.add(sub.label, steps=chunk.count, seconds=chunk.seconds * chunk.count)
        rows = metric_rows(chunk, first, self._execution.reported(chunk)) if hooks.listens("on_rows") else []
        ended, converged = self._move_on()
        last_log = log_data if last == first else {}
        points = ["on_step_end", "on_converge"] if converged else ["on_step_end"]
        if any(hooks.due(point, last) for point in points):
            last_log.update(host_numbers(self.state.metrics))
        try:
            stops = [hooks.fire_all(point, last, last_log, self) for point in points]
        finally:
            self._hand_out(rows, {first: log_data, last: last_log})
        for label, state in ended:
            self._saver.save_end(self._step_count, label, state, self._before_saving)
        if self._saver.due(self._step_count):
            self._save()
        for stop in stops:
            if stop is not None:
                raise stop

    def _hand_out(self, rows: Rows, logs: Mapping[int, LogData]) -> None:
        """Rows, with what callbacks put into the log of a step, to those who write them."""
        for row in rows:
            extra = logs.get(row["step"], {})
            row.update((name, value) for name, value in extra.items() if name not in row)
        if rows:
            self._hooks.tell("on_rows", rows, self)

    def _move_on(self) -> tuple[list[tuple[str, State]], bool]:
        """Let systems change sub-stage; returns which sub-stages ended, in what state, and whether any converged."""
        leaving, converged = self._execution.leaving()
        if not leaving:
            return [], False
        before = self.state
        self._execution.move(leaving)
        ended = [(label, before) for label in before.own if label not in self.state.own]
        return ended, bool(converged.any())

    def _rejected(self, reason: str) -> None:
        """Tell of a rejected attempt, and fail after the last one that is allowed."""
        where = f"step {self._step_count} ({' + '.join(self.active)})"
        attempt = self.step_attempt
        self._tell("rejection", f"{where}: attempt {attempt} of {self.max_attempts} rejected: {reason}")
        if attempt >= self.max_attempts:
            self._save()
            kept = "" if self.checkpoints is None else "; the last good state is saved"
            raise NumericalError(f"{where} failed {attempt} times, the last time because {reason}{kept}")

    # --- the steps of a step, for those who run it by hand -------------------------------------------------------

    def reset_step(self) -> None:
        """Forget what was computed of the step at hand. If it was rejected, the next try is another attempt."""
        self._execution.enter_all()
        if self._execution.rejected().any():
            self._execution.reject()
        else:
            self._execution.roll_back()
        self._scratch, self._injected = {}, None
        self._execution.begin()

    def compute_loss_and_update(self) -> None:
        """Sample and compute: afterwards `loss` and `direction` are those of the step, `state` is its candidate."""
        self._compute(lambda point: None)

    def update_parameters(self) -> None:
        """Finish and commit the step; `step_count` grows by one.

        Raises:
            NumericalError: the step is rejected; `reset_step` and `compute_loss_and_update` try it again.
        """
        self._execution.phase("post_update", self._step_count)
        if reason := self._reason():
            raise NumericalError(f"step {self._step_count} is rejected: {reason}")
        self._execution.commit(0.0)
        self._step_count += 1
        self._move_on()

    def inject_samples(self, samples: PyTree) -> None:
        """Use these instead of sampling in the step at hand; for `on_compute_update_start` of a callback."""
        self._injected = samples

    def compile(self) -> None:
        """Compile all sub-stages ahead of time. Another thread may do this while the first sub-stage runs."""
        for sub in self.stage.sub_stages:
            if sub.stage.n_steps != 0:
                self._execution.compile(sub)

    # --- checkpoints ---------------------------------------------------------------------------------------------

    def restore(self) -> int | None:
        """Go on from the newest good checkpoint, or from the end of a sub-stage that now has more to do.

        Returns:
            The step to go on from; None if there is no checkpoint.

        Raises:
            InputError: the checkpoint does not fit this stage or these systems; each difference is named.
            OutputError: there are checkpoints, none readable.
        """
        saved = self._saver.restore()
        if saved is None:
            return None
        self._step_count = saved.step
        return saved.step

    def _save(self) -> None:
        self._saver.save(self._step_count, self._before_saving)

    def _before_saving(self) -> None:
        self._hooks.tell("on_checkpoint", self._step_count, self)

    # --- for the dispatcher --------------------------------------------------------------------------------------

    @contextmanager
    def telling_where(self, stage: HookStageEnum, sub: SubStage | None) -> Iterator[None]:
        """For the length of one hook call, tell it its point and the members of the sub-stage it belongs to."""
        mask = None if sub is None else self._execution.members(sub)
        self.current_hook_stage, self.current_mask = stage, mask
        try:
            yield
        finally:
            self.current_hook_stage = self.current_mask = None

    def _tell(self, kind: str, message: str) -> None:
        self._hooks.tell("on_event", kind, message, self)

    def _handed_on(self, name: str) -> PyTree:
        parts = [hand for hand in self._scratch.values() if isinstance(hand, Mapping)]
        return next((hand[name] for hand in parts if name in hand), None)


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]
