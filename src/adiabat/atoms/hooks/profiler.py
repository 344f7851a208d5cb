"""Where the time of a run goes: by program, and by phase."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import jax

from adiabat.engine import AbstractCallback, HookStageEnum, checked_frequency

if TYPE_CHECKING:
    from adiabat.engine import Driver

__all__ = ["PhaseProfiler", "Profiler"]


@dataclass
class Account:
    """Calls of something, steps done in them, and seconds."""

    calls: int = 0
    steps: int = 0
    seconds: float = 0.0


class Profiler(AbstractCallback):
    """Counts and times the programs of a run, by the sub-stages that they advance; compilation and the host apart.

    It reads the clocks that the engine keeps anyway, around programs whose end the engine waits for anyway: it neither
    waits for the device nor splits a program, and so does not change what it measures. Over several runs it adds up.

    `programs` has an account for each set of sub-stages ("fire + nve"), the entry of systems included; `compiling` has
    seconds by sub-stage; `host` is the rest, in seconds: callbacks, files, systems that come and go.
    """

    def __init__(self) -> None:
        self.programs: dict[str, Account] = {}
        self.compiling: dict[str, float] = {}
        self.wall = 0.0
        self._running = ""
        self._seconds: dict[str, float] = {}
        self._compiling: dict[str, float] = {}
        self._start, self._step = 0.0, 0

    @property
    def callback_order(self) -> int:
        """Last, so that the time of all others is seen."""
        return 1000

    @property
    def host(self) -> float:
        """Seconds outside of programs and of compilation."""
        inside = sum(account.seconds for account in self.programs.values()) + sum(self.compiling.values())
        return max(self.wall - inside, 0.0)

    def on_run_start(self, step: int, driver: Driver) -> None:
        """Note the clocks."""
        self._start, self._step, self._running = time.perf_counter(), step, ""
        self._seconds, self._compiling = dict(driver.timings.seconds), dict(driver.timings.compiling)

    def on_program_start(self, step: int, driver: Driver) -> None:
        """Account for the program before."""
        self._account(step, driver)
        self._running = " + ".join(driver.active)

    def on_run_end(self, step: int, driver: Driver) -> None:
        """Account for the last program and the whole."""
        self._finish(step, driver)

    def on_run_error(self, step: int, error: BaseException, driver: Driver) -> None:
        """Account for the last program and the whole."""
        del error
        self._finish(step, driver)

    def __str__(self) -> str:
        rows = [("program", "calls", "steps", "seconds", "us/step")]
        for name, account in self.programs.items():
            pace = 1e6 * account.seconds / max(account.steps, 1)
            rows.append((name, f"{account.calls}", f"{account.steps}", f"{account.seconds:.3f}", f"{pace:.1f}"))
        rows += [(f"compiling {name}", "", "", f"{seconds:.3f}", "") for name, seconds in self.compiling.items()]
        rows.append(("host", "", "", f"{self.host:.3f}", ""))
        widths = [max(len(row[k]) for row in rows) for k in range(5)]
        return "\n".join(
            f"{row[0]:<{widths[0]}}" + "".join(f"  {cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))
            for row in rows
        )

    def _account(self, step: int, driver: Driver) -> None:
        now = driver.timings.seconds
        # Of one program all its sub-stages are told the same seconds.
        spent = max((seconds - self._seconds.get(name, 0.0) for name, seconds in now.items()), default=0.0)
        if self._running or spent:
            account = self.programs.setdefault(self._running or " + ".join(driver.active), Account())
            account.calls += bool(self._running)
            account.steps += step - self._step
            account.seconds += spent
        self._seconds, self._step = dict(now), step

    def _finish(self, step: int, driver: Driver) -> None:
        self._account(step, driver)
        for name, seconds in driver.timings.compiling.items():
            before = self._compiling.get(name, 0.0)
            if seconds > before:
                self.compiling[name] = self.compiling.get(name, 0.0) + seconds - before
        self.wall += time.perf_counter() - self._start
        self._running = ""


class PhaseProfiler:
    """Times the phases of a step apart: `pre_update`, `compute`, `post_update`.

    That changes what it measures: at the steps at which it is due the phases are programs of their own, and it waits
    for the device after each. Its seconds add up to more than the step takes otherwise; their shares tell where the
    time goes. The first step of every set of sub-stages, in which these programs are compiled, is left out.

    Args:
        frequency: every so many steps of the run; all others are run as without it.

    Raises:
        InputError: the frequency is no positive integer.
    """

    stages: ClassVar[tuple[HookStageEnum, ...]] = tuple(HookStageEnum)[1:7]

    def __init__(self, frequency: int = 100) -> None:
        self.frequency = checked_frequency(frequency, "PhaseProfiler")
        self.phases: dict[str, Account] = {}
        self._seen: set[tuple[str, ...]] = set()
        self._count, self._last = False, 0.0

    def __call__(self, batch: Any, driver: Any) -> None:
        """Wait for what was computed, and look at the clock."""
        jax.block_until_ready(batch)
        now, stage = time.perf_counter(), driver.current_hook_stage
        if stage is HookStageEnum.BEFORE_PRE_UPDATE:
            self._count = driver.active in self._seen
            self._seen.add(driver.active)
        elif self._count and stage.name.startswith("AFTER_"):
            account = self.phases.setdefault(stage.name.removeprefix("AFTER_").lower(), Account())
            account.calls, account.steps = account.calls + 1, account.steps + 1
            account.seconds += now - self._last
        self._last = time.perf_counter()
