"""How far training was above the exact energy after so many steps and so many seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from adiabat.report.metrics import read_metrics
from adiabat.vmc.statistics import estimate, format_with_error

WINDOW = 0.2
"""Share of the steps so far, the last of them, over which training energies are averaged."""


@dataclass(frozen=True)
class Training:
    """The rows of a training.

    A step that was computed twice, because the run was killed between a checkpoint and the next, has one row: that of
    the computation which the run went on from. So the sum over the rows is the time that an uninterrupted run would
    have taken, whatever happened. Compilation is in no row; burn-in is in the first.

    Parameters
    ----------
    energy : (steps,) array
        Mean over the walkers, hartree.
    seconds : (steps,) array
        Wall time of each step.
    """

    energy: Float[np.ndarray, " steps"]
    seconds: Float[np.ndarray, " steps"]

    @property
    def steps(self) -> int:
        return len(self.energy)

    @property
    def elapsed(self) -> Float[np.ndarray, " steps"]:
        """Seconds of training at the end of each step."""
        return np.cumsum(self.seconds)

    @property
    def total_seconds(self) -> float:
        return float(self.seconds.sum())

    @property
    def seconds_a_step(self) -> float:
        """Not moved by a few steps that were disturbed."""
        return float(np.median(self.seconds)) if self.steps else math.nan

    def at_pace(self, seconds: float | None) -> Training:
        """The same training where every step had taken so long; as it was, for None."""
        return self if seconds is None else Training(self.energy, np.full(self.steps, seconds))

    def steps_after(self, seconds: float) -> int | None:
        """Steps done after so much training; None if it did not last so long."""
        if not seconds <= self.total_seconds:
            return None
        return int(np.searchsorted(self.elapsed, seconds, side="right"))


@dataclass(frozen=True)
class Value:
    """A number with its standard error, of so many of the seeds."""

    mean: float
    error: float
    seeds: int = 1

    def text(self, of: int | None = None) -> str:
        """As papers print it; ``of``: the seeds there are, to say where not all of them got so far."""
        partly = "" if of is None or self.seeds == of else f" [{self.seeds} of {of}]"
        known = format_with_error(self.mean, self.error) if math.isfinite(self.error) else f"{self.mean:.3g}(?)"
        return known + partly


def read_training(folder: Path) -> Training:
    """The training of a run, up to the first row that is not whole; no rows if it has not begun."""
    columns = read_metrics(folder / "metrics" / "train.csv")
    if not {"energy", "seconds"} <= set(columns):
        return Training(np.zeros(0), np.zeros(0))
    energy, seconds = columns["energy"], columns["seconds"]
    whole = np.isfinite(energy) & np.isfinite(seconds)
    steps = len(whole) if whole.all() else int(np.argmin(whole))
    return Training(energy[:steps], seconds[:steps])


def at_steps(training: Training, steps: int, exact: float) -> Value | None:
    """Millihartree above ``exact`` of the last part of the first ``steps``; None if there are not so many.

    The error bar takes autocorrelation into account. Where the energy still falls it is no limit of the fall.
    """
    if not 0 < steps <= training.steps:
        return None
    last = training.energy[_window(steps) : steps]
    found = estimate(1e3 * (last[:, None] - exact), detect_equilibration=False)
    return Value(found.mean, found.error)


def at_seconds(training: Training, seconds: float, exact: float) -> Value | None:
    """The same of the steps done after so many seconds of training."""
    steps = training.steps_after(seconds)
    return None if steps is None else at_steps(training, steps, exact)


def over_seeds(values: Sequence[Value | None]) -> Value | None:
    """Mean of those there are, and its standard error from their scatter; of a single one its own.

    A few seeds may agree by chance: the error is never smaller than what their own error bars, where known, come to.
    """
    found = [value for value in values if value is not None]
    if len(found) < 2:
        return found[0] if found else None
    means, errors = np.array([(value.mean, value.error) for value in found]).T
    scatter = means.std(ddof=1) / math.sqrt(len(found))
    own = math.sqrt(np.nansum(errors**2)) / len(found)
    return Value(float(means.mean()), float(max(scatter, own)), len(found))


def ladder(first: float, last: float) -> list[float]:
    """``first``, twice as much, and so on up to ``last``."""
    rungs = [first]
    while 2 * rungs[-1] <= last:
        rungs.append(2 * rungs[-1])
    return rungs if first <= last else []


def running_mean(training: Training, steps: Sequence[int], exact: float) -> Float[np.ndarray, " points"]:
    """`at_steps` without error bars, for a curve; NaN where the run did not get so far."""
    total = np.concatenate([[0.0], np.cumsum(1e3 * (training.energy - exact))])
    found = [(total[n] - total[_window(n)]) / (n - _window(n)) if 0 < n <= training.steps else math.nan for n in steps]
    return np.array(found, np.float64)


def _window(steps: int) -> int:
    """The first of the steps that count."""
    return min(math.floor((1.0 - WINDOW) * steps + 0.5), steps - 1)
