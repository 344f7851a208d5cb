"""The course of many structures in one picture: energy, largest force, temperature, conserved quantity by step."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from adiabat.report.plots import BLUE, GREY, ORANGE, STYLE

MOST_LINES = 200
"""Structures of which a line is drawn, spread evenly; the medians are of all."""
DRAWN = ("energy", "fmax", "temperature", "conserved")


class SystemCourse(NamedTuple):
    """What was logged of one structure: columns by name, each as long as ``step``; nan where a stage has no such."""

    step: Float[np.ndarray, " rows"]
    columns: dict[str, Float[np.ndarray, " rows"]]


def read_courses(folder: Path) -> dict[int, SystemCourse]:
    """The rows of all CSV files below a folder by the structure they belong to, in the order of its own steps."""
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for path in sorted(folder.glob("**/*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, restval=""):
                if row.get("system_id", "").isdecimal():
                    numbers = [_number(row.get(name)) for name in ("system_step", *DRAWN)]
                    rows[int(row["system_id"])].append(numbers)
    courses = {}
    for system, logged in sorted(rows.items()):
        table = np.array(sorted(logged, key=lambda numbers: numbers[0]))
        courses[system] = SystemCourse(table[:, 0], dict(zip(DRAWN, table[:, 1:].T, strict=True)))
    return courses


def plot_structures(path: Path, courses: dict[int, SystemCourse]) -> None:
    """Draw the courses as a PNG: one panel for each quantity that was logged, a thin line a structure.

    Parameters
    ----------
    path : path
        The file to write.
    courses : dict
        As `read_courses` gives them. Energies are shown relative to the lowest, conserved quantities to the first.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [name for name in DRAWN if any(np.isfinite(course.columns[name]).any() for course in courses.values())]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.0, 1.2 + 2.1 * len(panels)), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for panel, name in zip(axes, panels, strict=True):
            _draw(panel, name, list(courses.values()))
        if len(courses) > 1:
            axes[0].legend(loc="upper right")
        axes[0].set_title(f"{len(courses)} structures", color=GREY, loc="right", fontsize=9)
        axes[-1].set_xlabel("step of a structure")
        axes[-1].set_xlim(left=0)
        figure.savefig(path)


def _draw(axes: Any, name: str, courses: Sequence[SystemCourse]) -> None:
    lines = [(course.step, _shown(name, course.columns[name])) for course in courses]
    chosen = np.unique(np.linspace(0, len(lines) - 1, min(len(lines), MOST_LINES)).round().astype(int))
    alpha = max(0.08, min(0.7, 6 / len(chosen)))
    for i in chosen:
        axes.plot(*lines[i], color=BLUE, lw=0.8, alpha=alpha, rasterized=True)
    if len(lines) > 1:
        axes.plot(*_median(lines), color=ORANGE, lw=1.6, label="median of those under way")
    axes.set_ylabel(LABELS[name])
    if name == "fmax" and np.nanmax(np.concatenate([values for _, values in lines])) > 0:
        axes.set_yscale("log")
    if name == "energy":
        axes.set_yscale("symlog", linthresh=1e-3)


LABELS = {
    "energy": "energy above the lowest (eV)",
    "fmax": "largest force (eV/Å)",
    "temperature": "temperature (K)",
    "conserved": "drift of the conserved (eV)",
}


def _shown(name: str, values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Energies relative to the lowest, conserved quantities to the first: systems of all sizes fit in one panel."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return values
    reference = {"energy": finite.min(), "conserved": finite[0]}.get(name, 0.0)
    return values - reference


def _median(lines: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The median over the structures at the steps that were logged of at least half of those under way."""
    step = np.concatenate([steps for steps, _ in lines])
    value = np.concatenate([values for _, values in lines])
    known = np.isfinite(value)
    order = np.argsort(step[known], kind="stable")
    at, first = np.unique(step[known][order], return_index=True)
    groups = np.split(value[known][order], first[1:])
    known_steps = [steps[np.isfinite(values)] for steps, values in lines]
    spans = np.array([(steps[0], steps[-1]) for steps in known_steps if len(steps)])
    under_way = np.array([np.sum((spans[:, 0] <= step) & (step <= spans[:, 1])) for step in at])
    enough = np.array([len(group) for group in groups]) >= np.maximum(2, under_way / 2)
    middle = np.array([np.median(group) for group in groups])
    return at[enough], middle[enough]


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
