"""Timing on a machine that has other things to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Call = Callable[[], Any]
"""Something to be timed; it returns when its results are there."""


@dataclass(frozen=True)
class Times:
    """Repeated measurements of one thing."""

    all: tuple[float, ...]

    @property
    def median(self) -> float:
        """Not moved by a few measurements that were disturbed."""
        return median(self.all)

    def scaled(self, factor: float) -> Times:
        """The same in another unit."""
        return Times(tuple(factor * each for each in self.all))

    @property
    def range(self) -> str:
        """Smallest and largest, as a remark for the table."""
        return f"{min(self.all):.3g} to {max(self.all):.3g}" if len(self.all) > 1 else ""


def mean_seconds(call: Call, at_least: float = 0.1) -> float:
    """Mean wall time of a call, after one that is not counted, over as many as fill ``at_least`` seconds."""
    call()
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < at_least or not count:
        call()
        count += 1
    return elapsed / count


def alternately(
    unit: Call, others: Mapping[str, Call], rounds: int, at_least: float = 0.1
) -> tuple[Times, dict[str, Times]]:
    """Seconds of ``unit``, and the times of all others in units of it.

    Each measurement stands between two of the unit and is divided by their mean, so that whatever slows the machine
    down for a while slows both.
    """
    units = [mean_seconds(unit, at_least)]
    ratios: dict[str, list[float]] = {name: [] for name in others}
    for _ in range(rounds):
        for name, call in others.items():
            seconds = mean_seconds(call, at_least)
            units.append(mean_seconds(unit, at_least))
            ratios[name].append(2 * seconds / (units[-2] + units[-1]))
    return Times(tuple(units)), {name: Times(tuple(found)) for name, found in ratios.items()}
