"""Reading back the rows that a run has written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

Metrics = dict[str, np.ndarray]
"""Columns by name, each a float64 array with an entry a row; NaN where there is no number."""


def read_metrics(path: Path | str) -> Metrics:
    """Read the columns of a metrics CSV file.

    A file that is missing or empty has no columns. A last line cut short by a crash, or an entry that is no
    number, counts as NaN; a column without any number (such as the name of the stage) is left out.

    Parameters
    ----------
    path : path
        For example ``runs/LiH/metrics/train.csv``.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, restval=""))
    names = [name for name in (rows[0] if rows else {}) if isinstance(name, str)]
    columns = {name: np.array([_number(row[name]) for row in rows]) for name in names}
    return {name: column for name, column in columns.items() if not np.isnan(column).all()}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
