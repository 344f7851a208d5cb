"""The one place that knows who is called at which point of a step, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from adiabat.engine.callbacks import AbstractCallback, HookStageEnum, LogData, StopRun, checked_frequency
from adiabat.engine.fused import SubStage
from adiabat.engine.program import AROUND_COMPUTE, Lookers, TracedHook
from adiabat.errors import InputTypeError

if TYPE_CHECKING:
    from adiabat.engine.driver import Driver

__all__ = ["FOREVER", "Dispatcher"]

POINT_OF = {
    HookStageEnum.BEFORE_STEP: "on_step_start",
    HookStageEnum.BEFORE_PRE_UPDATE: "before_pre_update",
    HookStageEnum.AFTER_PRE_UPDATE: "after_pre_update",
    HookStageEnum.BEFORE_COMPUTE: "before_compute",
    HookStageEnum.AFTER_COMPUTE: "after_compute",
    HookStageEnum.BEFORE_POST_UPDATE: "before_parameter_update",
    HookStageEnum.AFTER_POST_UPDATE: "after_post_update",
    HookStageEnum.AFTER_STEP: "on_step_end",
    HookStageEnum.ON_CONVERGE: "on_converge",
}
STAGE_AT = {point: stage for stage, point in POINT_OF.items()}
FOREVER = 2**62  # steps
# Points before the first phase, between phases, after the commit: they decide how far one program may run.
FIRST = ("on_step_start", "on_compute_update_start", "before_pre_update")
INNER = (
    "after_pre_update", "before_compute", "after_compute",
    "on_compute_update_end", "before_parameter_update", "after_post_update",
)  # fmt: skip
LAST = ("on_step_end",)
AFTER = (
    "after_pre_update",
    "after_compute",
    "on_compute_update_end",
    "after_post_update",
    "on_step_end",
    "on_converge",
)
STEP_METHODS = tuple(name for name in (*FIRST, *INNER, *LAST, "on_converge") if hasattr(AbstractCallback, name))


@dataclass(frozen=True)
class _Entry:
    call: Callable[[int, LogData, Any], Any]
    frequency: int
    name: str
    sub: SubStage | None = None  # that it belongs to; None: to the whole


@dataclass(frozen=True)
class _Listener:
    """A callback object, once however often it is registered, and the sub-stages it belongs to; none: to the whole."""

    callback: AbstractCallback
    subs: tuple[SubStage, ...]

    def overrides(self, method: str) -> bool:
        return _overrides(self.callback, method)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the run; of the rows only those of the sub-stages it belongs to."""
        if method == "on_rows" and self.subs:
            labels, (rows, *rest) = [sub.label for sub in self.subs], arguments
            rows = [row for row in rows if row["stage"] in labels]
            return getattr(self.callback, method)(rows, *rest) if rows else None
        return getattr(self.callback, method)(*arguments)


class Dispatcher:
    """Callbacks of the whole run and those of its sub-stages, sorted by point, order and depth.

    At points before a phase those of the whole come first, at points after it those of the sub-stages do;
    within each, ascending `callback_order`, then the order in which they were given.
    """

    def __init__(self, callbacks: Iterable[Any], subs: Sequence[SubStage] = ()) -> None:
        self.traced: list[TracedHook] = []
        self._listeners: dict[int, _Listener] = {}  # by the id of the callback
        self._closing: dict[int, Any] = {}  # by the id of the hook
        self._points: dict[str, list[_Entry]] = {}
        outer = self._sorted(callbacks, None)
        inner = [pair for sub in subs for pair in self._sorted(sub.stage.hooks, sub)]
        for point in (*FIRST, *INNER, *LAST, "on_converge"):
            pairs = [*inner, *outer] if point in AFTER else [*outer, *inner]
            entries = [entry for at, entry in pairs if at == point]
            if entries:
                self._points[point] = entries
        self._frequencies = {
            group: sorted({entry.frequency for point in group for entry in self._points.get(point, ())})
            for group in (FIRST, INNER, LAST)
        }

    # --- during a step --------------------------------------------------------------------------------------

    def fire(self, point: str, step: int, log_data: LogData, driver: Driver) -> None:
        """Call everyone who is due at this point."""
        for entry in self._points.get(point, ()):
            if step % entry.frequency == 0:
                entry.call(step, log_data, driver)

    def rejecting(self, step: int, log_data: LogData, driver: Driver) -> str | None:
        """The name of the first callback that rejects the computed step; None if all accept it."""
        for entry in self._points.get("on_compute_update_end", ()):
            if step % entry.frequency == 0 and bool(entry.call(step, log_data, driver)):
                return entry.name
        return None

    def fire_all(self, point: str, step: int, log_data: LogData, driver: Driver) -> StopRun | None:
        """As `fire`, after the commit: everyone sees the committed step; returns the first StopRun."""
        stop: StopRun | None = None
        for entry in self._points.get(point, ()):
            if step % entry.frequency == 0:
                try:
                    entry.call(step, log_data, driver)
                except StopRun as raised:
                    stop = stop or raised
        return stop

    def splits(self, step: int) -> bool:
        """Whether someone looks in between the phases of this step."""
        return any(step % frequency == 0 for frequency in self._frequencies[INNER])

    def due(self, point: str, step: int) -> bool:
        """Whether someone is called at this point of this step."""
        return any(step % entry.frequency == 0 for entry in self._points.get(point, ()))

    def program_starts(self, step: int, driver: Driver) -> int:
        """Tell of a program that is about to run; after how many steps it has to return at the latest."""
        most = FOREVER
        for listener in self._listeners.values():
            if listener.overrides("on_program_start"):
                with driver.telling_where(None, *listener.subs):
                    wanted = listener.call("on_program_start", step, driver)
                most = most if wanted is None else min(most, max(int(wanted), 1))
        return most

    def horizon(self, step: int, most: int) -> int:
        """How many steps from `step` on may be done in one go: at most `most`, and 1 if this step is looked into."""
        if self.splits(step):
            return 1
        for group, included in ((FIRST, 0), (INNER, 0), (LAST, 1)):
            for frequency in self._frequencies[group]:
                until = -step % frequency + included
                most = min(most, until or frequency)
        return most

    # --- during a run ---------------------------------------------------------------------------------------

    def lookers(self, driver: Driver) -> Lookers:
        """Those who are called around the computation of what systems begin with."""
        entries = [entry for point in AROUND_COMPUTE for entry in self._points.get(point, ())]

        def call(point: str, sub: SubStage) -> None:
            for entry in self._points.get(point, ()):
                if entry.sub in (None, sub):
                    entry.call(driver.step_count, {}, driver)

        return Lookers(frozenset(None if entry.sub is None else entry.sub.label for entry in entries), call)

    def open(self, stack: ExitStack) -> None:
        """Enter the hooks that are context managers, and close those that can be closed when the stack is left."""
        for hook in self._closing.values():
            if hasattr(hook, "__enter__") and hasattr(hook, "__exit__"):
                stack.enter_context(hook)
            else:
                stack.callback(hook.close)

    def tell(self, method: str, *arguments: Any) -> None:
        """Call a method of the run (`on_rows`, `on_event`, ...) on every callback that overrides it.

        All are called; then the first StopRun of theirs is raised.
        """
        stop: StopRun | None = None
        for listener in self._listeners.values():
            if listener.overrides(method):
                try:
                    listener.call(method, *arguments)
                except StopRun as raised:
                    stop = stop or raised
        if stop is not None:
            raise stop

    def tell_all(self, method: str, *arguments: Any) -> BaseException | None:
        """As `tell`, and everyone is told even if some raise; returns the first exception other than StopRun."""
        first: BaseException | None = None
        for listener in self._listeners.values():
            if listener.overrides(method):
                try:
                    listener.call(method, *arguments)
                except StopRun:
                    pass
                except Exception as raised:  # noqa: BLE001 - the others are told first, then it is raised
                    first = first or raised
        return first

    def listens(self, method: str) -> bool:
        """Whether any callback overrides a method of the run."""
        return any(listener.overrides(method) for listener in self._listeners.values())

    def rows_due(self, own_steps: Int[np.ndarray, "n S"], newest: Bool[np.ndarray, "n S"]) -> Bool[np.ndarray, "n S"]:
        """Which rows any callback needs, see `AbstractCallback.rows_due`."""
        listening = [listener.callback for listener in self._listeners.values() if listener.overrides("on_rows")]
        due = [callback.rows_due(own_steps, newest) for callback in listening]
        return np.logical_or.reduce([np.zeros(own_steps.shape, bool), *due])

    # --- registration ---------------------------------------------------------------------------------------

    def _sorted(self, callbacks: Iterable[Any], sub: SubStage | None) -> list[tuple[str, _Entry]]:
        ordered = sorted(callbacks, key=lambda callback: int(getattr(callback, "callback_order", 0)))
        return [pair for callback in ordered for pair in self._entries(callback, sub)]

    def _entries(self, callback: Any, sub: SubStage | None) -> list[tuple[str, _Entry]]:
        name = getattr(callback, "__name__", type(callback).__name__)
        if isinstance(callback, AbstractCallback):
            known = self._listeners.get(id(callback))
            subs: tuple[SubStage, ...] = () if sub is None else (sub,)
            if known is not None:
                subs = (*known.subs, *subs) if known.subs and subs else ()
            self._listeners[id(callback)] = _Listener(callback, subs)
            frequency = checked_frequency(getattr(callback, "frequency", 1), name)
            return [
                (method, _Entry(_telling(getattr(callback, method), STAGE_AT.get(method), sub), frequency, name))
                for method in STEP_METHODS
                if _overrides(callback, method)
            ]
        if callable(callback) and (hasattr(callback, "stage") or hasattr(callback, "stages")):
            return self._hook_entries(callback, name, sub)
        if callable(callback) and not isinstance(callback, type):
            return [("before_parameter_update", _Entry(_plain(callback, name), 1, name))]
        raise InputTypeError(
            f"{name} is no callback; expected an AbstractCallback, a hook object (stage, frequency and "
            f"__call__(batch, driver)) or a function (step, log_data, driver) -> bool"
        )

    def _hook_entries(self, hook: Any, name: str, sub: SubStage | None) -> list[tuple[str, _Entry]]:
        stages = hook.stages if hasattr(hook, "stages") else (hook.stage,)
        frequency = checked_frequency(getattr(hook, "frequency", 1), name)
        if hasattr(hook, "__exit__") or hasattr(hook, "close"):
            self._closing[id(hook)] = hook
        entries = []
        for stage in (HookStageEnum(stage) for stage in stages):
            if getattr(hook, "traced", False):
                label, point = sub.label if sub else None, POINT_OF[stage]
                identity = (id(hook), point, frequency, label)
                self.traced.append(TracedHook(point, frequency, lambda batch: hook(batch, None), label, identity))
            else:
                entries.append((POINT_OF[stage], _Entry(_on_batch(hook, stage, sub), frequency, name, sub)))
        return entries


def _overrides(callback: AbstractCallback, method: str) -> bool:
    return getattr(type(callback), method) is not getattr(AbstractCallback, method)


def _plain(function: Callable[..., Any], name: str) -> Callable[[int, LogData, Any], None]:
    """A function (step, log_data, driver) -> bool. Only a false value stops; None is a forgotten `return True`."""

    def call(step: int, log_data: LogData, driver: Any) -> None:
        go_on = function(step, log_data, driver)
        if go_on is not None and not bool(go_on):
            raise StopRun(f"{name} returned {go_on!r}")

    return call


def _telling(
    method: Callable[[int, LogData, Any], Any], stage: HookStageEnum | None, sub: SubStage | None
) -> Callable[[int, LogData, Any], Any]:
    """A method of a callback, which can ask the driver where it is and for whom."""

    def call(step: int, log_data: LogData, driver: Any) -> Any:
        with driver.telling_where(stage, *(() if sub is None else (sub,))):
            return method(step, log_data, driver)

    return call


def _on_batch(hook: Any, stage: HookStageEnum, sub: SubStage | None) -> Callable[[int, LogData, Any], None]:
    def call(step: int, log_data: LogData, driver: Any) -> None:
        with driver.telling_where(stage, *(() if sub is None else (sub,))):
            batch = hook(driver.batch, driver)
        if batch is not None:
            driver.batch = batch

    return call
