"""Rows of metrics: from the buffers of a program to dicts of host numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped

from adiabat.engine.callbacks import MetricRow
from adiabat.engine.execution import Chunk

__all__ = [
    "add_counts",
    "host_numbers",
    "metric_rows",
    "newest",
    "own_steps",
    "what_is_wrong",
    "why_failed",
]

COUNTS = ("nonfinite", "exploding")
"""Metrics whose names begin so count what is wrong."""


def own_steps(chunk: Chunk) -> Int[np.ndarray, "n S"]:
    """How many steps each system has done after each step of a chunk; those that it did not take count on."""
    return chunk.age + np.arange(1, chunk.n_steps + 1)[:, None]


def newest(chunk: Chunk) -> Bool[np.ndarray, "n S"]:
    """Where in a chunk the last step of each system is."""
    return np.arange(1, chunk.n_steps + 1)[:, None] == chunk.taken


def metric_rows(
    chunk: Chunk,
    step: int,
    reported: Mapping[str, list[str]],
    wanted: Bool[np.ndarray, "n S"] | None = None,
    *,
    in_flight: bool = False,
) -> list[MetricRow]:
    """A row a step and system, of those wanted: step, stage, stage_step, (system,) attempt, the metrics, seconds.

    `reported` has the names of the metrics of each sub-stage. Rows of a run of one system do not name it, unless others
    take its place, `in_flight`.
    """
    alone = len(chunk.status) == 1 and not in_flight
    columns = chunk.rows() if wanted is None or wanted.any() else {}
    rows: list[MetricRow] = []
    for slot, code in enumerate(chunk.status.tolist()):
        taken = int(chunk.taken[slot])
        chosen = np.arange(taken) if wanted is None else np.flatnonzero(wanted[:taken, slot])
        for sub in chunk.subs:
            if sub.code == code and len(chosen):
                values = {name: _plain(columns[name][chosen, slot]) for name in reported[sub.label]}
                rows += _rows_of_slot(chunk, slot, sub.label, step, chosen, values, alone=alone)
    rows.sort(key=lambda row: (row["step"], row.slot))
    return rows


def _rows_of_slot(
    chunk: Chunk,
    slot: int,
    label: str,
    step: int,
    chosen: Int[np.ndarray, " k"],
    values: Mapping[str, list[Any]],
    *,
    alone: bool,
) -> Iterator[MetricRow]:
    """The chosen rows of one system, with the values of the metrics at them."""
    stage_age, age, system = int(chunk.stage_age[slot]), int(chunk.age[slot]), int(chunk.system_id[slot])
    for n, i in enumerate(chosen.tolist()):
        row = MetricRow(step=step + i, stage=label, stage_step=stage_age + i)
        if not alone:
            row["system"] = system
        row["attempt"] = int(chunk.attempt[slot]) if i == 0 else 0
        row.update((name, column[n]) for name, column in values.items())
        row["seconds"] = chunk.seconds
        row.slot, row.system_id = slot, system
        row.system_step, row.newest = age + i + 1, i == chunk.taken[slot] - 1
        yield row


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
