"""Rows of metrics: from the buffers of a program to dicts of host numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from adiabat.engine.execution import Chunk

__all__ = ["add_counts", "host_numbers", "metric_rows", "what_is_wrong", "why_failed"]

COUNTS = ("nonfinite", "exploding")
"""Metrics whose names begin so count what is wrong."""


def metric_rows(
    chunk: Chunk, step: int, reported: Mapping[str, list[str]], *, in_flight: bool = False
) -> list[dict[str, Any]]:
    """A row a step and system: step, stage, stage_step, (system,) attempt, the metrics, seconds.

    `reported` has the names of the metrics of each sub-stage. Rows of a run of one system do not name it, unless others
    take its place, `in_flight`.
    """
    columns, alone = chunk.rows(), len(chunk.status) == 1 and not in_flight
    tables = []
    for slot, code in enumerate(chunk.status.tolist()):
        for sub in chunk.subs:
            if sub.code == code:
                names = reported[sub.label]
                taken = int(chunk.taken[slot])
                values = [_plain(columns[name][:taken, slot]) for name in names]
                tables.append((sub.label, slot, taken, names, values))
    rows = []
    for i in range(chunk.n_steps):
        for label, slot, taken, names, values in tables:
            if i >= taken:
                continue
            row = {"step": step + i, "stage": label, "stage_step": int(chunk.stage_age[slot]) + i}
            if not alone:
                row["system"] = int(chunk.system_id[slot])
            row["attempt"] = int(chunk.attempt[slot]) if i == 0 else 0
            row.update((name, column[i]) for name, column in zip(names, values, strict=True))
            row["seconds"] = chunk.seconds
            rows.append(row)
    return rows


def host_numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics (S, ...) as plain numbers for one system, as arrays for several."""
    arrays = {name: np.asarray(x) for name, x in metrics.items()}
    return {name: _plain(x)[0] if x.shape[0] == 1 else x for name, x in arrays.items()}


def what_is_wrong(metrics: Mapping[str, Any], rejected: Bool[np.ndarray, " S"]) -> str:
    """What the row (S, ...) of a rejected step says: numbers that are not finite, and `COUNTS`."""
    slot = int(np.argmax(rejected))
    row = {name: _plain(np.asarray(x)[slot : slot + 1])[0] for name, x in metrics.items()}
    return "; ".join(_suspicious(row)) or "the result is not finite"


def add_counts(counts: dict[str, Any], metrics: Mapping[str, Any], rejected: Bool[np.ndarray, " S"]) -> None:
    """Add the `COUNTS` of the systems whose attempt was rejected to `counts`, arrays (S,) by name."""
    for name, column in metrics.items():
        if name.startswith(COUNTS):
            counts[name] = counts.get(name, 0) + np.where(rejected, np.asarray(column), 0)


def why_failed(chunk: Chunk) -> dict[int, str]:
    """By slot, what the rows say of the steps at which systems of a chunk failed."""
    slots = np.flatnonzero(chunk.failed).tolist()
    columns = chunk.rows() if slots else {}
    reasons = {}
    for slot in slots:
        row = {name: column[chunk.taken[slot]] for name, column in columns.items()}
        alone = np.arange(len(chunk.status)) == slot
        reasons[slot] = f"{what_is_wrong(row, alone)} at step {chunk.stage_age[slot] + chunk.taken[slot]}"
    return reasons


def _suspicious(row: Mapping[str, Any]) -> Iterator[str]:
    for name, value in row.items():
        finite = bool(np.all(np.isfinite(value)))
        if not finite or (name.startswith(COUNTS) and np.any(value)):
            yield f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"


def _plain(column: Shaped[np.ndarray, "n ..."]) -> list[Any]:
    """Python numbers. A float32 becomes the shortest decimal that is the same float32: 0.1, not 0.10000000149."""
    if column.dtype == np.float32:
        column = column.astype(str).astype(np.float64)
    return column.tolist() if column.ndim == 1 else list(column)
