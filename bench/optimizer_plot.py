"""A picture of the comparison of optimizers: energy above exact, against steps and against seconds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from adiabat.report.plots import BLUE, GREEN, GREY, ORANGE, STYLE
from bench.optimizer_contestants import CONTESTANTS
from bench.optimizer_courses import running_mean
from bench.optimizer_table import Outcome

# Of the same set as the first three.
COLOURS = dict(zip(CONTESTANTS, (BLUE, "#56B4E9", GREEN, ORANGE, "#E69F00", "#CC79A7"), strict=True))
POINTS = 80
FIRST_STEP = 20
"""Curves begin here: a mean over a step or two is noise."""
FLOOR = 0.3
"""Millihartree; what is lower is drawn there, because it is no more than the error of such a mean."""
CHEMICAL_ACCURACY = 1.6
"""Millihartree."""


def plot(path: Path, outcomes: Sequence[Outcome]) -> bool:
    """Draw a row of panels a system; one line an optimizer, the mean over its seeds, shaded from lowest to highest.

    Returns
    -------
    bool
        Whether there was anything to draw; without it no file is written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    trained = [outcome for outcome in outcomes if outcome.training.steps > FIRST_STEP and np.isfinite(outcome.exact)]
    systems = list(dict.fromkeys(outcome.system for outcome in trained))
    if not systems:
        return False
    with rc_context(STYLE):
        figure = Figure(figsize=(8.0, 0.5 + 2.8 * len(systems)), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(systems), 2, sharey="row", squeeze=False)
        for (left, right), system in zip(panels, systems, strict=True):
            members = [outcome for outcome in trained if outcome.system == system]
            for name in dict.fromkeys(outcome.contestant for outcome in members):
                runs = [outcome for outcome in members if outcome.contestant == name]
                _draw(left, *_against_steps(runs), name)
                _draw(right, *_against_seconds(runs), name)
            _finish(left, right, system, members)
        panels[-1][0].set_xlabel("step")
        panels[-1][1].set_xlabel("seconds of training")
        lines: dict[str, Any] = {}
        for panel in panels[:, 0]:
            for line, name in zip(*panel.get_legend_handles_labels(), strict=True):
                lines.setdefault(name, line)
        figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=len(lines), handlelength=1.6)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return True


def _against_steps(runs: Sequence[Outcome]) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "seeds points"]]:
    last = _common_end([run.training.steps for run in runs])
    steps = np.unique(np.geomspace(FIRST_STEP, last, POINTS).round().astype(int))
    return steps.astype(np.float64), np.array([running_mean(run.training, steps.tolist(), run.exact) for run in runs])


def _against_seconds(
    runs: Sequence[Outcome],
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "seeds points"]]:
    last = _common_end([run.training.total_seconds for run in runs])
    first = min(last, max(float(run.training.elapsed[FIRST_STEP - 1]) for run in runs))
    seconds = np.geomspace(first, last, POINTS)
    steps = [[run.training.steps_after(t) or 0 for t in seconds] for run in runs]
    return seconds, np.array([running_mean(run.training, s, run.exact) for run, s in zip(runs, steps, strict=True)])


def _common_end(ends: Sequence[float]) -> float:
    """The shortest of the runs, or a curve would jump where one of them ends; one that ended early does not count."""
    return min(end for end in ends if end >= 0.5 * max(ends))


def _draw(axes: Any, x: Float[np.ndarray, " points"], above: Float[np.ndarray, "seeds points"], name: str) -> None:
    with warnings.catch_warnings():  # all NaN where rounding puts a point past the end
        warnings.simplefilter("ignore", RuntimeWarning)
        low, middle, high = np.nanmin(above, axis=0), np.nanmean(above, axis=0), np.nanmax(above, axis=0)
    low, middle, high = (np.maximum(each, FLOOR) for each in (low, middle, high))
    colour = COLOURS[name]
    axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
    axes.plot(x, middle, color=colour, lw=1.5, label=name)


def _finish(left: Any, right: Any, system: str, runs: Sequence[Outcome]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    exact = "best estimate" if any(run.estimate for run in runs) else "exact"
    left.set_ylabel(f"{system}: mE$_h$ above {exact}")
    for axes in (left, right):
        axes.set_yscale("log", nonpositive="mask")
        axes.set_xscale("log")
        axes.set_ylim(bottom=FLOOR)
        axes.axhline(CHEMICAL_ACCURACY, color=GREY, lw=0.8, ls="--", zorder=1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
