"""What a benchmark found, and the table of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True)
class Row:
    """One measured number.

    Parameters
    ----------
    group : str
        Heading under which it stands.
    what : str
    value : float
    unit : str
    limit : float, optional
        What the value must not exceed.
    remark : str
    failure : str
        What else went wrong; empty if nothing did.
    """

    group: str
    what: str
    value: float
    unit: str
    limit: float | None = None
    remark: str = ""
    failure: str = ""

    @property
    def missed(self) -> bool:
        """Whether something is not as it should be. A value that is no number is not."""
        return bool(self.failure) or (self.limit is not None and not self.value <= self.limit)

    @property
    def verdict(self) -> str:
        """In one word or two, for the table; nothing where nothing was asked."""
        if self.missed:
            return "MISSED"
        return "ok" if self.limit is not None else ""


def format_table(rows: Iterable[Row]) -> str:
    """All rows as aligned text, by group."""
    rows = list(rows)
    cells = {id(row): _cells(row) for row in rows}
    widths = [max((len(line[column]) for line in cells.values()), default=0) for column in range(5)]
    lines: list[str] = []
    for group, members in groupby(rows, key=lambda row: row.group):
        lines += ["", group]
        for row in members:
            what, value, unit, limit, verdict = cells[id(row)]
            text = f"  {what:{widths[0]}}  {value:>{widths[1]}} {unit:{widths[2]}}  {limit:>{widths[3]}}"
            note = "; ".join(part for part in (row.failure, row.remark) if part)
            lines.append(f"{text}  {verdict:{widths[4]}}  {note}".rstrip())
    return "\n".join(lines[1:])


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    limit = "" if row.limit is None else f"limit {row.limit:g}"
    return row.what, f"{row.value:.3g}", row.unit, limit, row.verdict
