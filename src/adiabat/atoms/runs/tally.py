"""How far a run of structures has come: how many have ended and how, how fast, and how full its slots are."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adiabat.engine import AbstractCallback, Driver, Ledger

__all__ = ["Progress", "Tally"]

LATE = 10.0
"""Seconds over which rates are averaged."""


@dataclass(frozen=True)
class Progress:
    """One look at a run.

    Args:
        counts: how many structures are where, as `Ledger.counts`.
        steps: of the batch, over all buckets.
        steps_per_second, atom_steps_per_second: of late; an atom-step is a step of one atom that is there.
        seconds: since this process began to run.
        occupancy: steps that structures took, of those that all slots could have taken.
        n_slot_atoms: atoms that a slot of the present bucket has room for.
    """

    counts: dict[str, int]
    steps: int
    steps_per_second: float
    atom_steps_per_second: float
    seconds: float
    occupancy: float
    n_slot_atoms: int


class Tally(AbstractCallback):
    """Counts what the drivers of all buckets do, whenever a program returns."""

    def __init__(self) -> None:
        self._n_atoms = np.zeros(0, np.int64)
        self._ledger = Ledger(0)
        self._began: float | None = None
        self._driver: Driver | None = None
        self._before = (0, 0)  # steps of the buckets before this one, and slots times steps
        self._late: deque[tuple[float, int, int]] = deque()  # time, steps, atom-steps at the last looks

    def begin(self, n_atoms: Sequence[int], ledger: Ledger) -> None:
        """Count structures of so many atoms, which this ledger accounts for."""
        self._n_atoms = np.array(n_atoms, np.int64)
        self._ledger = ledger

    def on_run_start(self, step: int, driver: Driver) -> None:
        """A bucket begins, or goes on."""
        del step
        if self._driver is not None and self._driver is not driver:
            self._before = self._so_far()
        self._driver = driver
        if self._began is None:
            self._began = time.monotonic()

    def passed(self, driver: Driver) -> None:
        """A bucket was done by an earlier process."""
        steps, slot_steps = self._before
        self._before = steps + driver.step_count, slot_steps + driver.step_count * len(driver.state.clock.age)

    def progress(self) -> Progress:
        """As things are now."""
        steps, slot_steps = self._so_far()
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        taken = int(self._ledger.steps.sum()) + int(self._ages().sum())
        width = 0 if self._driver is None else int(self._driver.batch.n_slot_atoms)
        return Progress(
            self._ledger.counts,
            steps,
            *self._rates(steps),
            seconds,
            taken / slot_steps if slot_steps else 0.0,
            width,
        )

    def _rates(self, steps: int) -> tuple[float, float]:
        """Steps and atom-steps a second since the oldest look within `LATE` seconds."""
        now = time.monotonic()
        self._late.append((now, steps, self._atom_steps()))
        while len(self._late) > 2 and self._late[0][0] < now - LATE:
            self._late.popleft()
        since, steps_then, atom_steps_then = self._late[0]
        if now == since:
            return 0.0, 0.0
        return (steps - steps_then) / (now - since), (self._late[-1][2] - atom_steps_then) / (now - since)

    def summary(self, drivers: Sequence[Driver]) -> dict[str, Any]:
        """Entries of summary.json: steps, seconds and compilations by stage, occupancy of the slots."""
        found: dict[str, dict[str, Any]] = {"steps": {}, "seconds": {}, "compiling": {}}
        slot_steps = taken = 0
        for driver in drivers:
            for name, account in driver.timings.as_dict().items():
                for stage, value in account.items():
                    found[name][stage] = found[name].get(stage, 0) + value
            slot_steps += driver.step_count * len(driver.state.clock.age)
            taken += int(np.asarray(driver.state.clock.age)[_there(driver)].sum())
        taken += int(self._ledger.steps.sum())
        buckets = [
            {"n_slot_atoms": int(driver.batch.n_slot_atoms), "n_slots": len(driver.state.clock.age)}
            for driver in drivers
        ]
        return {
            **found,
            "atom_steps": self._atom_steps(),
            "buckets": buckets,
            "occupancy": taken / slot_steps if slot_steps else None,
        }

    def _so_far(self) -> tuple[int, int]:
        if self._driver is None:
            return self._before
        steps = self._driver.step_count
        return self._before[0] + steps, self._before[1] + steps * len(self._driver.state.clock.age)

    def _ages(self) -> np.ndarray:
        """Steps of those under way."""
        if self._driver is None:
            return np.zeros(0, np.int64)
        return np.asarray(self._driver.state.clock.age)[_there(self._driver)]

    def _atom_steps(self) -> int:
        if self._driver is None:
            return int((self._n_atoms * self._ledger.steps).sum())
        ids = np.asarray(self._driver.state.clock.system_id)[_there(self._driver)]
        return int((self._n_atoms * self._ledger.steps).sum() + (self._n_atoms[ids] * self._ages()).sum())


def _there(driver: Driver) -> np.ndarray:
    """Slots in which somebody is."""
    return np.asarray(driver.state.clock.system_id) >= 0
