"""Lines of a run's table, and those that every kind of run has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from adiabat.config import StructuresJobName

Summary = Mapping[str, Any]
"""The contents of a run's ``summary.json``; whatever is missing is left out of the table."""


def kind_of(summary: Summary) -> str:
    """What a run did: energy, relax or md; also while it is running, when only its identity is written."""
    return str(summary.get("kind") or (summary.get("identity") or {}).get("kind") or "energy")


def is_of_structures(summary: Summary) -> bool:
    """Whether it is a run of many structures."""
    return kind_of(summary) in get_args(StructuresJobName)


class Line(NamedTuple):
    """A line of the table: what, how much, and a remark."""

    label: str
    value: str
    remark: str = ""


def run_lines(summary: Summary, folder: Path | str | None) -> list[Line]:
    """Steps, seconds, seed and folder."""
    lines = []
    if steps := summary.get("steps"):
        by_stage = steps if isinstance(steps, Mapping) else {"": steps}
        dropped = number(summary, "equilibration_steps")
        remark = f"{dropped:.0f} of the last stage left out: not in equilibrium" if dropped else ""
        lines.append(Line("steps", ", ".join(f"{name} {n}".strip() for name, n in by_stage.items()), remark))
    if seconds := seconds_by_stage(summary):
        shares = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        lines.append(Line("seconds", f"{sum(seconds.values()):.1f}", shares))
    lines += [Line(key, str(summary[key])) for key in ("walkers", "seed") if summary.get(key) is not None]
    if folder is not None:
        lines.append(Line("folder", str(folder)))
    return lines


def seconds_by_stage(summary: Summary) -> dict[str, float]:
    """Seconds by stage in the order of the run, with all compilation last.

    Compilation is ``seconds["compile"]`` or ``compiling``, a number or again by stage.
    """
    seconds = summary.get("seconds") or {}
    if not isinstance(seconds, Mapping):
        return {"all": float(seconds)}
    by_stage = {str(name): float(value) for name, value in seconds.items() if name != "compile" and value}
    compiling = [part for part in (seconds.get("compile"), summary.get("compiling")) if part]
    total = sum(sum(part.values()) if isinstance(part, Mapping) else float(part) for part in compiling)
    return {**by_stage, "compile": total} if total else by_stage


def number(summary: Summary, key: str) -> float | None:
    """A number of the summary; None for what is missing, null or NaN."""
    value = summary.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)


def or_nan(value: float | None) -> float:
    """The number, or NaN for None."""
    return math.nan if value is None else value
