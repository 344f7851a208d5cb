"""The Driver: repeats a stage's step, calls the callbacks, retries rejected steps, saves, stops."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool

from adiabat.engine.callbacks import HookStageEnum, StopRun
from adiabat.engine.checkpoint import Checkpoints
from adiabat.engine.compiling import tracing_scope
from adiabat.engine.dispatcher import FOREVER, Dispatcher
from adiabat.engine.execution import Execution
from adiabat.engine.fused import FusedStage, SubStage, fuse
from adiabat.engine.in_flight import InFlight
from adiabat.engine.memory import MemoryUse
from adiabat.engine.recording import MetricsRecorder
from adiabat.engine.rows import host_numbers
from adiabat.engine.saving import Saver
from adiabat.engine.signals import SignalHandler
from adiabat.engine.stage import Stage
from adiabat.engine.state import Clock, PyTree, State
from adiabat.engine.stepping import Stepper
from adiabat.engine.timings import Timings
from adiabat.errors import InputError, Interrupted

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
        in_flight: where systems come from and go to, while the run goes on; then `systems` is not given.
        clock: who the systems are and how far each has come; by default all of them begin.
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
        in_flight: InFlight | None = None,
        clock: Clock | None = None,
    ) -> None:
        if max_attempts < 1 or chunk_seconds <= 0:
            raise InputError(
                f"max_attempts is {max_attempts} and chunk_seconds {chunk_seconds}; expected positive numbers"
            )
        self.stage = stage if isinstance(stage, FusedStage) else fuse(stage)
        self.callbacks = list(callbacks)
        self.signature = {"seed": seed, **(signature or {}), **self.stage.signature()}
        self.time_limit = time_limit
        self.signals = signals
        self.current_hook_stage: HookStageEnum | None = None
        self.current_mask: Bool[np.ndarray, " S"] | None = None
        self.resuming = False
        """Whether `restore` was called, so that what files hold of later steps is to be written again."""
        self.in_flight = in_flight
        if in_flight is not None:
            systems = in_flight.source.empty()
        vacant = in_flight is not None
        self._execution = Execution(self.stage, systems, seed, self._tell, mesh, clock=clock, vacant=vacant)
        self.checkpoints = Checkpoints(checkpoints) if isinstance(checkpoints, (Path, str)) else checkpoints
        self._saver = Saver(self._execution, self.checkpoints, self.signature, self._tell, in_flight)
        self._stepper = Stepper(
            self,
            self._execution,
            self._saver,
            self._tell,
            max_attempts=max_attempts,
            chunk_seconds=chunk_seconds,
            in_flight=in_flight,
        )
        self._hook(self.callbacks)
        self._running = False

    # --- what one looks at ----------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The present state; a callback may replace it by assigning another one."""
        return self._execution.state

    @state.setter
    def state(self, state: State) -> None:
        self._execution.replace_state(state)

    @property
    def batch(self) -> Any:
        """The present state as hook objects see it; one may replace it by assigning another."""
        return self._face.as_batch(self.state)

    @batch.setter
    def batch(self, batch: Any) -> None:
        self.state = self._face.from_batch(self.state, batch)

    @property
    def _face(self) -> Stage:
        return self.stage.sub_stages[0].stage

    @property
    def before_moving_on(self) -> Any:
        """The batch in which the systems converged that have just moved on; None unless at ON_CONVERGE."""
        converged = self._stepper.converged
        return None if converged is None else self._face.as_batch(converged.before)

    @property
    def step_count(self) -> int:
        """Steps committed so far, over all runs."""
        return self._stepper.step_count

    @property
    def moving(self) -> Bool[np.ndarray, " S"]:
        """The slots whose systems have not ended."""
        return self._execution.moving

    @property
    def failures(self) -> Mapping[int, tuple[str, str]]:
        """Of systems that failed and are still in their slots: by slot, the sub-stage and the reason."""
        return dict(self._execution.failures)

    @property
    def step_attempt(self) -> int:
        """How often the step at hand was rejected."""
        return int(self._execution.attempt.max())

    @property
    def done(self) -> bool:
        """Whether every system has graduated, and none waits."""
        waiting = self.in_flight is not None and not self.in_flight.source.exhausted
        return not self._execution.populated and not waiting

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
        return self._stepper.handed_on("direction")

    @property
    def loss(self) -> Any:
        """What `compute` left as `scratch["loss"]`; else the metrics of the last step, as a dict."""
        loss = self._stepper.handed_on("loss")
        return host_numbers(self.state.metrics) if loss is None else loss

    # --- running --------------------------------------------------------------------------------------------

    def run(self, n_iter: int | None = None, out: Any = None, callback: Any = None) -> State:
        """Do `n_iter` steps (None: until every system has graduated) and return the state.

        Args:
            n_iter: steps to add to `step_count`.
            out: a folder for CSV and JSON lines of metrics, or callbacks that log, for this run only.
            callback: a callback, or several, for this run only.

        Raises:
            NumericalError: a step was rejected `max_attempts` times; the last good state is saved.
            Interrupted: by a signal or the time limit; the state is saved.
            OutputError: a checkpoint could not be written.
        """
        loggers = [self._recorder(Path(out))] if isinstance(out, (str, Path)) else _listed(out)
        for _ in self._loop(n_iter, FOREVER, [*_listed(callback), *loggers]):
            pass
        return self.state

    def _recorder(self, folder: Path) -> MetricsRecorder:
        if self.step_count == 0 and folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty, and this run starts at step 0; name another folder")
        return MetricsRecorder(folder)

    def loop(self, n_iter: int | None = None, every: int | None = 1) -> Iterator[tuple[int, State]]:
        """As `run`, yielding (step, state) after every `every` committed steps (None: when a program returns)."""
        return self._loop(n_iter, every, [])

    def _loop(self, n_iter: int | None, every: int | None, extra: list[Any]) -> Iterator[tuple[int, State]]:
        if self._running:
            raise RuntimeError("this driver is running already")
        hooks = self._hook([*self.callbacks, *extra])
        self._running = True
        self._stepper.stop = None
        self._stepper.deadline = time.monotonic() + (float("inf") if self.time_limit is None else self.time_limit)
        try:
            with ExitStack() as stack:
                hooks.open(stack)
                yield from self._guarded(n_iter, every)
        finally:
            self._running = False

    def _hook(self, callbacks: list[Any]) -> Dispatcher:
        """Have these called from now on, and those of the sub-stages."""
        hooks = self._stepper.hooks = Dispatcher(callbacks, self.stage.sub_stages)
        self._execution.programs = self._execution.programs.with_traced(hooks.traced)
        self._execution.lookers = hooks.lookers(self)
        return hooks

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
            self._stepper.save()
        except BaseException as error:
            self._execution.roll_back()
            with tracing_scope():
                self._stepper.hooks.tell_all("on_run_error", self.step_count, error, self)
            raise
        with tracing_scope():
            failed = self._stepper.hooks.tell_all("on_run_end", self.step_count, self) or interrupted
        if failed is not None:
            raise failed

    def _steps(self, n_iter: int | None, every: int | None) -> Iterator[tuple[int, State]]:
        """The only loop."""
        if self.step_count == 0:
            self._saver.refuse_to_overwrite()
        start = self.step_count
        end = FOREVER if n_iter is None else start + n_iter
        # Callbacks and convergence criteria work in the same scope as the programs; who gets what is yielded does
        # not, because the scope would otherwise leak into the caller's code.
        with tracing_scope():
            self._stepper.hooks.tell("on_run_start", start, self)
            self._execution.enter_all()
            self._stepper.settle()
            self._stepper.exchange()
        while not self.done and self.step_count < end:
            before = self.step_count
            stop = end if every is None else min(end, before + every)
            with tracing_scope():
                self._heed()
                self._stepper.advance(stop - before)
                while every is not None and self._more_before(stop):
                    self._heed()
                    self._stepper.advance(stop - self.step_count)
            if self.step_count > before:
                yield self.step_count - 1, self.state

    def _more_before(self, stop: int) -> bool:
        """Whether there are steps to be done before that one, and nobody who was told of the last one objects."""
        return self.step_count < stop and not self.done and self._stepper.stop is None

    def _heed(self) -> None:
        """Stop if a callback asked for it, a signal came, or the time is up."""
        if self._stepper.stop is not None:
            raise self._stepper.stop
        if self.signals is not None and self.signals.requested:
            reason = f"signal {self.signals.requested}"
        elif time.monotonic() >= self._stepper.deadline:
            reason = f"the time limit of {self.time_limit:g} s"
        else:
            return
        self._tell("interrupted", f"stopping at step {self.step_count} because of {reason}")
        raise Interrupted(f"stopped at step {self.step_count} by {reason}; the same command goes on from there")

    # --- the steps of a step, for those who run it by hand --------------------------------------------------

    def reset_step(self) -> None:
        """Forget what was computed of the step at hand. If it was rejected, the next try is another attempt."""
        with tracing_scope():
            self._stepper.reset()

    def compute_loss_and_update(self) -> None:
        """Sample and compute: `loss` and `direction` are then those of the step, `state` is its candidate."""
        with tracing_scope():
            self._stepper.compute()

    def update_parameters(self) -> None:
        """Finish and commit the step; `step_count` grows by one.

        Raises:
            NumericalError: the step is rejected; `reset_step` and `compute_loss_and_update` try it again.
        """
        with tracing_scope():
            self._stepper.update()

    def inject_samples(self, samples: PyTree) -> None:
        """Use these instead of sampling in the step at hand; for `on_compute_update_start` of a callback."""
        self._stepper.injected = samples

    def exchange(self, in_flight: InFlight) -> None:
        """Deliver who has ended and admit who waits, between the runs of a driver to which its systems were given."""
        with tracing_scope():
            self._execution.enter_all()
            self._stepper.settle()
            in_flight.exchange(self._execution)

    def compile(self) -> MemoryUse:
        """Compile all sub-stages ahead of time, perhaps in another thread while the first one runs; returns what the
        largest of these programs takes, for arrays of the size that they have now."""
        with_steps = [sub for sub in self.stage.sub_stages if sub.stage.n_steps != 0]
        return max(map(self._execution.compile, with_steps), key=lambda use: use.total, default=MemoryUse(0, 0, 0))

    # --- checkpoints ----------------------------------------------------------------------------------------

    def restore(self, renew: Collection[str] = ()) -> int | None:
        """Go on from the newest good checkpoint, or from the end of a sub-stage that now has more to do.

        Args:
            renew: settings, such as "optimizer", whose part of the private rows begins anew instead of going on
                as it was saved, see `Stage.renewable`; they may then differ. The result is saved at once.

        Returns:
            The step to go on from; None if there is no checkpoint.

        Raises:
            CheckpointMisfit: the checkpoint does not fit this stage or these systems; each difference is named.
            InputError: nothing can begin anew, because the sub-stages that have it are over.
            OutputError: there are checkpoints, none readable.
        """
        self.resuming = True
        saved = self._saver.restore(renew)
        if saved is not None:
            self._stepper.step_count = saved.step
            if renew:  # or an interrupted run would go on from what it was to leave behind
                self._stepper.save()
        return None if saved is None else saved.step

    # --- for the dispatcher ---------------------------------------------------------------------------------

    @contextmanager
    def telling_where(self, stage: HookStageEnum | None, *subs: SubStage) -> Iterator[None]:
        """For the length of one call, tell a hook its point and the members of the sub-stages it belongs to; at
        ON_CONVERGE, who of them converged."""
        self.current_hook_stage, self.current_mask = stage, self._mask_of(subs, stage)
        try:
            yield
        finally:
            self.current_hook_stage = self.current_mask = None

    def _mask_of(self, subs: tuple[SubStage, ...], stage: HookStageEnum | None) -> Bool[np.ndarray, " S"] | None:
        converged = self._stepper.converged if stage is HookStageEnum.ON_CONVERGE else None
        status = self._execution.status if converged is None else np.asarray(converged.before.clock.status)
        members = np.isin(status, [sub.code for sub in subs]) if subs else None
        if converged is None:
            return members
        return converged.mask if members is None else converged.mask & members

    def _tell(self, kind: str, message: str) -> None:
        self._stepper.tell("on_event", kind, message)


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]
