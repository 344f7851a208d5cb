"""What can be hooked into a run: callback objects, hook objects, and plain functions."""

from __future__ import annotations

import abc
import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int

from adiabat.errors import InputError

if TYPE_CHECKING:
    from adiabat.engine.driver import Driver

__all__ = [
    "AbstractCallback",
    "Hook",
    "HookStageEnum",
    "MetricRow",
    "Rows",
    "StopRun",
    "WritingCallback",
    "checked_frequency",
]

LogData = dict[str, Any]


class MetricRow(dict[str, Any]):
    """The numbers of one step of one system by name, and whose they are."""

    slot: int
    system_id: int
    system_step: int  # steps that the system has done since it was admitted, this one included
    newest: bool  # whether it is of the last step that the system did


Rows = Sequence[MetricRow]


class StopRun(Exception):
    """Raised in a callback, ends the run gracefully: `on_run_end` is called and `run` returns."""


class HookStageEnum(enum.IntEnum):
    """The points of a step at which a hook object can be registered."""

    BEFORE_STEP = 0
    BEFORE_PRE_UPDATE = 1
    AFTER_PRE_UPDATE = 2
    BEFORE_COMPUTE = 3
    AFTER_COMPUTE = 4
    BEFORE_POST_UPDATE = 5
    AFTER_POST_UPDATE = 6
    AFTER_STEP = 7
    ON_CONVERGE = 8


def checked_frequency(frequency: Any, name: str) -> int:
    """The frequency of a hook of this name, which has to be a positive integer, or an `InputError`."""
    if isinstance(frequency, bool) or not isinstance(frequency, int) or frequency < 1:
        raise InputError(f"the frequency of {name} is {frequency!r}; expected a positive integer")
    return frequency


@runtime_checkable
class Hook(Protocol):
    """A hook object: `stage` (or `stages`, several) says where it fires, `frequency` at which steps.

    It may return a new batch, which takes the place of the driver's state, or None.
    `driver.current_hook_stage` tells a hook of several stages where it is. With `__enter__`/`__exit__` or
    `close`, it is opened and closed once a run. A hook with `traced = True` is a pure function of the batch,
    compiled into the step (its `driver` is None).

    Where something has to be computed before a system can begin, as forces have, hooks at BEFORE_COMPUTE and
    AFTER_COMPUTE are called around it as well, whatever their frequency. The batch then has no private rows, and what
    they change is kept of the systems that begin.
    """

    frequency: int

    def __call__(self, batch: Any, driver: Any, /) -> Any: ...


class AbstractCallback:
    """Base of callbacks: every method does nothing, and a point is hooked only by overriding its method.

    `step` is the index of the step at hand, at every hook of it. `log_data` is this step's; what a rejected
    attempt put there is dropped. A callback replaces the state by assigning `driver.state`. With `frequency`
    f, the methods of a step are called at steps 0, f, 2f, ...
    """

    frequency: int = 1

    @property
    def callback_order(self) -> int:
        """Callbacks run in ascending order (default 0, loggers 10)."""
        return 0

    def on_run_start(self, step: int, driver: Driver) -> None:
        """The run begins; `step` is the first to be done."""

    def on_step_start(self, step: int, log_data: LogData, driver: Driver) -> None:
        """An attempt at the step begins (BEFORE_STEP)."""

    def on_compute_update_start(self, step: int, log_data: LogData, driver: Driver) -> None:
        """Before sampling; `driver.inject_samples` belongs here."""

    def on_compute_update_end(self, step: int, log_data: LogData, driver: Driver) -> bool | None:
        """After compute; a true value rejects the step, which is drawn anew from `on_step_start` on."""

    def before_parameter_update(self, step: int, log_data: LogData, driver: Driver) -> None:
        """The step is accepted, parameters and `step_count` are still the old ones (BEFORE_POST_UPDATE)."""

    def on_step_end(self, step: int, log_data: LogData, driver: Driver) -> None:
        """The step is committed: `driver.step_count` is `step + 1` (AFTER_STEP)."""

    def on_converge(self, step: int, log_data: LogData, driver: Driver) -> None:
        """Systems converged at this step, or as they entered their sub-stage; they have moved on (ON_CONVERGE).

        `driver.current_mask` says who they are, `driver.before_moving_on` is the batch in which they converged.
        """

    def on_run_end(self, step: int, driver: Driver) -> None:
        """The run ended gracefully; called exactly once."""

    def on_run_error(self, step: int, error: BaseException, driver: Driver) -> None:
        """The run ended by an error; called instead of `on_run_end`."""

    def on_program_start(self, step: int, driver: Driver) -> int | None:
        """A program is about to advance the committed state. May say after how many steps, at least one, it has to
        return at the latest, for this callback to look at the state again in `on_rows`."""

    def rows_due(self, own_steps: Int[np.ndarray, "n S"], newest: Bool[np.ndarray, "n S"]) -> Bool[np.ndarray, "n S"]:
        """Which rows `on_rows` needs of the n steps of a program: of a system that had done so many `own_steps` after
        each, `newest` the last of them. Default: all. It may be handed more than it asks for."""
        del newest
        return np.ones(own_steps.shape, bool)

    def on_rows(self, rows: Rows, driver: Driver) -> None:
        """Rows of committed steps, as dicts of host numbers, whenever a program returns. Costs no stop at each step.

        Systems that ended at these steps are still in their slots. A callback that belongs to a sub-stage gets the rows
        of that sub-stage.
        """

    def on_progress(self, step: int, driver: Driver) -> None:
        """A program has returned, `step` steps are committed, and systems have left and come. Costs no stop either."""

    def on_checkpoint(self, step: int, driver: Driver) -> None:
        """A checkpoint is about to be written: bring to disk what it will count on."""

    def on_event(self, kind: str, message: str, driver: Driver) -> None:
        """Something to tell. Compilations may be told of from another thread.

        Kinds: compile_started, compile_finished, stage_entered, stage_left, rejection, checkpoint,
        checkpoint_damaged, resumed, interrupted, failure, grown.
        """


class WritingCallback(AbstractCallback, abc.ABC):
    """Base of callbacks that write: what they have is on disk before every checkpoint, and when the run ends."""

    def on_checkpoint(self, step: int, driver: Driver) -> None:
        """A checkpoint counts on what was written before it."""
        del step, driver
        self._sync()

    def on_run_end(self, step: int, driver: Driver) -> None:
        """Nothing more is written in this run."""
        del step, driver
        self._close()

    def on_run_error(self, step: int, error: BaseException, driver: Driver) -> None:
        """As `on_run_end`."""
        del step, error, driver
        self._close()

    @abc.abstractmethod
    def _sync(self) -> None:
        """Bring to disk what was written."""

    def _close(self) -> None:
        """Close what is open; also if nothing ever was. Default: only bring it to disk."""
        self._sync()
