"""The table and the plots of a run, made again from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adiabat.errors import InputError
from adiabat.report.lines import Summary, is_of_structures
from adiabat.report.metrics import read_metrics
from adiabat.report.plots import plot_run
from adiabat.report.structures_plot import plot_structures, read_courses
from adiabat.report.table import print_table


def run_report(folder: Path | str, console: Any = None) -> dict[str, Any]:
    """Print the table of a run and draw its plots.

    Parameters
    ----------
    folder : path
        A run folder; the run may be finished, stopped or still going on.
    console : rich.console.Console, optional
        Where to print; standard output by default.

    Returns
    -------
    dict
        The contents of ``summary.json``.

    Raises
    ------
    InputError
        If the folder does not exist, or holds no summary that can be read.
    """
    folder = Path(folder)
    summary = _read_summary(folder)
    draw_plots(folder, summary)
    print_table(summary, folder, console)
    return summary


def draw_plots(folder: Path | str, summary: Summary) -> list[Path]:
    """Draw the plots of a run into ``plots/`` of its folder, and return which there are.

    None for a run that has not written any energies yet.
    """
    folder = Path(folder)
    if is_of_structures(summary):
        return _draw_structures(folder)
    metrics = {stage: read_metrics(folder / "metrics" / f"{stage}.csv") for stage in ("train", "evaluate")}
    if not any("energy" in columns for columns in metrics.values()):
        return []
    path = folder / "plots" / "training.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    plot_run(path, metrics, summary)
    return [path]


def _draw_structures(folder: Path) -> list[Path]:
    courses = read_courses(folder / "metrics")
    if not courses:
        return []
    path = folder / "plots" / "courses.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    plot_structures(path, courses)
    return [path]


def _read_summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; expected the folder of a run, such as runs/LiH")
    if not path.is_file():
        raise InputError(f"{folder} has no summary.json; expected the folder of a run that has ended or saved")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(summary, dict):
        raise InputError(f"{path} holds a {type(summary).__name__}, expected an object with the results of a run")
    return summary
