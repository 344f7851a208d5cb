"""Rows as JSON lines: one object a line."""

from __future__ import annotations

import json
import math
from typing import Any

from adiabat.io.writers.base import Row
from adiabat.io.writers.text_file import TextWriter

__all__ = ["JSONLinesWriter"]


class JSONLinesWriter(TextWriter):
    """One JSON object for each row. Numbers that are not finite, which JSON does not know, become null."""

    suffix = ".jsonl"

    def _step_of(self, line: bytes) -> int | None:
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            return None

    def _line(self, row: Row) -> str:
        try:
            return json.dumps(row, allow_nan=False) + "\n"
        except (ValueError, TypeError):
            return json.dumps({name: _plain(value) for name, value in row.items()}) + "\n"


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, complex):
        return [_plain(value.real), _plain(value.imag)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)
