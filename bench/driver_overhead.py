"""What a step costs that does nothing: the Driver's own share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from adiabat.engine import AbstractCallback, Driver, Stage, State
from bench.rows import Row
from bench.stopwatch import Times

GROUP = "driver overhead: a stage that does nothing"


@dataclass(frozen=True, kw_only=True)
class Idle(Stage):
    """Does nothing, as fast as it can."""

    def compute(self, state: State) -> State:
        """The state as it is."""
        return state


class EveryStep(AbstractCallback):
    """A Python function that is called after each step."""

    def on_step_end(self, step: int, log_data: dict[str, Any], driver: Driver) -> None:
        """Nothing."""


class RowsOnly(AbstractCallback):
    """Takes the rows of all steps, as what writes them to files does."""

    def on_rows(self, rows: list[dict[str, Any]], driver: Driver) -> None:
        """Nothing."""


def measure(*, repeats: int = 7, steps: int = 2000, free_steps: int = 50_000) -> list[Row]:
    """Microseconds of a step with a hook after each, with rows recorded, and with nothing hooked.

    Parameters
    ----------
    repeats : int
    steps : int
        Timed with a hook after each.
    free_steps : int
        Timed where nothing stops between them.
    """
    hooked = _microseconds([EveryStep()], steps, repeats)
    recorded = _microseconds([RowsOnly()], free_steps, repeats)
    free = _microseconds([], free_steps, repeats)
    return [
        Row(GROUP, "a Python hook after each step", hooked.median, "us/step", 100.0, hooked.range),
        Row(GROUP, "rows recorded", recorded.median, "us/step", remark=recorded.range),
        Row(GROUP, "nothing hooked", free.median, "us/step", 5.0, free.range),
    ]


def _microseconds(callbacks: list[AbstractCallback], steps: int, repeats: int) -> Times:
    driver = Driver(Idle(name="idle"), systems={"x": np.zeros((1, 3), np.float32)}, callbacks=callbacks)
    # Compiles, and lets the driver find its pace.
    driver.run(steps)
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        driver.run(steps)
        found.append(1e6 * (time.perf_counter() - start) / steps)
    return Times(tuple(found))
