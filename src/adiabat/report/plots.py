"""The course of a run in one picture: energy, its variance, and the acceptance of moves, against the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from adiabat.report.lines import Summary
from adiabat.report.metrics import Metrics
from adiabat.vmc.statistics import format_with_error

# Colours that remain distinct for the colour-blind (M. Okabe and K. Ito, 2008).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"

STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.formatter.useoffset": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
}

MOST_POINTS = 3000
CURVE_POINTS = 400

# The beginning of a stage, which may be wild, does not decide what the energy axis shows.
BEGINNING = 0.2


def plot_run(path: Path | str, metrics: Mapping[str, Metrics], summary: Summary) -> None:
    """Draw a run as a PNG.

    Parameters
    ----------
    path : path
        The file to write.
    metrics : mapping of str to columns
        By stage in the order of the run, as `read_metrics` gives them. Used are ``step``, ``energy``,
        ``energy_variance`` and ``acceptance``; a stage that has no energies is left out.
    summary : mapping
        The contents of ``summary.json``, for the evaluated energy and what to compare it with.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    courses = [Course.of(name, columns) for name, columns in metrics.items() if "energy" in columns]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.0, 5.6), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1.0))
        _draw_energy(upper, courses, summary)
        _draw_sampling(lower, courses, str(summary.get("unit", "hartree")))
        _mark_stages(upper, lower, courses)
        lower.set_xlabel("step")
        figure.savefig(path)


class Course(NamedTuple):
    """The rows of one stage."""

    name: str
    step: Float[np.ndarray, " rows"]
    columns: Metrics

    @classmethod
    def of(cls, name: str, columns: Metrics) -> Course:
        """From the columns of a stage; rows are counted where the steps are not given."""
        rows = len(columns["energy"])
        return cls(name, columns.get("step", np.arange(rows, dtype=np.float64)), columns)

    def smooth(self, column: str) -> Smoothed:
        """The running median of a column."""
        return Smoothed.of(self.step, self.columns[column])


class Smoothed(NamedTuple):
    """Running median, and the band that holds two thirds of the values."""

    step: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    middle: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]

    @classmethod
    def of(cls, step: Float[np.ndarray, " rows"], values: Float[np.ndarray, " rows"]) -> Smoothed:
        """Of the finite values; no more points than the eye can tell apart."""
        finite = np.isfinite(values)
        step, values = step[finite], values[finite]
        if len(step) == 0:
            return cls(step, values, values, values)
        half = max(2, len(step) // 60)
        centres = np.unique(np.linspace(0, len(step) - 1, CURVE_POINTS).round().astype(int))
        # Near the beginning the window shrinks, so that the curve does not start below a steep descent.
        windows = [values[max(0, c - half) : c + min(half, c) + 1] for c in centres]
        low, middle, high = np.array([np.quantile(window, (1 / 6, 1 / 2, 5 / 6)) for window in windows]).T
        return cls(step[centres], low, middle, high)

    def draw(self, axes: Any, colour: str, label: str | None = None) -> None:
        """The band, and the median on top of it."""
        axes.fill_between(self.step, self.low, self.high, color=colour, alpha=0.2, lw=0)
        axes.plot(self.step, self.middle, color=colour, lw=1.5, label=label)


def _draw_energy(axes: Any, courses: list[Course], summary: Summary) -> None:
    curves = [course.smooth("energy") for course in courses]
    for course, curve in zip(courses, curves, strict=True):
        thin = slice(None, None, math.ceil(len(course.step) / MOST_POINTS) or 1)
        energy = course.columns["energy"][thin]
        axes.plot(course.step[thin], energy, ".", ms=2, mew=0, color=BLUE, alpha=0.25, rasterized=True)
        curve.draw(axes, BLUE, "median over steps" if course is courses[0] else None)

    lines = []
    known = "best estimate" if summary.get("exact_is_estimate") else "exact"
    for key, label, style in (("hartree_fock_energy", "Hartree-Fock", "--"), ("exact_energy", known, "-")):
        if (value := summary.get(key)) is not None:
            axes.axhline(value, color="black", ls=style, lw=0.9, label=f"{label} {value:.5f}", zorder=3)
            lines.append(float(value))
    if (result := summary.get("energy")) is not None:
        error = float(summary.get("energy_error") or math.nan)
        where = courses[-1].step[[0, -1]] if courses else np.array([0.0, 1.0])
        label = f"result {format_with_error(result, error)}"
        axes.plot(where, [result, result], color=ORANGE, lw=1.5, label=label, zorder=4)
        if error > 0.0:
            axes.fill_between(where, result - error, result + error, color=ORANGE, alpha=0.4, lw=0, zorder=3)
        lines.append(float(result))

    name, unit = summary.get("name"), summary.get("unit", "hartree")
    axes.set_ylim(*_energy_limits(curves, lines))
    axes.set_ylabel(f"energy of {name} ({unit})" if name else f"energy ({unit})")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, columnspacing=1.4, handlelength=1.6)


def _draw_sampling(axes: Any, courses: list[Course], unit: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    right = axes.twinx()
    right.spines["right"].set_visible(True)
    for course in courses:
        if "energy_variance" in course.columns:
            course.smooth("energy_variance").draw(axes, BLUE)
            if np.nanmax(course.columns["energy_variance"]) > 0.0:  # not so for an exact wavefunction
                axes.set_yscale("log", nonpositive="mask")
                axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axes.yaxis.set_minor_formatter(NullFormatter())
        if "acceptance" in course.columns:
            course.smooth("acceptance").draw(right, GREEN)
    axes.set_ylabel(f"variance ({unit}$^2$)", color=BLUE)
    axes.tick_params(axis="y", colors=BLUE, which="both")
    right.set_ylim(0.0, 1.0)
    right.set_ylabel("acceptance", color=GREEN)
    right.tick_params(axis="y", colors=GREEN)


def _mark_stages(upper: Any, lower: Any, courses: list[Course]) -> None:
    """Name the stages, with a line where one passes into the next."""
    for number, course in enumerate(courses):
        begin, end = float(course.step[0]), float(course.step[-1])
        if number:
            upper.axvline(begin, color=GREY, lw=0.8, ls=":")
            lower.axvline(begin, color=GREY, lw=0.8, ls=":")
        place = upper.get_xaxis_transform()  # steps from left to right, the height of the panel from 0 to 1
        upper.text((begin + end) / 2, 0.98, course.name, transform=place, color=GREY, ha="center", va="top")
    if courses:
        first, last = float(courses[0].step[0]), float(courses[-1].step[-1])
        lower.set_xlim(first, max(last, first + 1.0))


def _energy_limits(curves: list[Smoothed], lines: list[float]) -> tuple[float, float]:
    """Limits that show the lines and where the run went, but not how wildly it began."""
    low, high = list(lines), list(lines)
    for curve in curves:
        if len(curve.step):
            late = curve.step >= curve.step[0] + BEGINNING * np.ptp(curve.step)
            low.append(float(np.quantile(curve.low[late], 0.05)))
            high.append(float(np.quantile(curve.high[late], 0.95)))
    bottom, top = (min(low), max(high)) if low else (0.0, 1.0)
    span = max(top - bottom, 1e-6)
    return bottom - 0.1 * span, top + 0.15 * span
