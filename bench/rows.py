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
    floor : float, optional
        What the value must reach.
    """

    group: str
    what: str
    value: float
    unit: str
    limit: float | None = None
    remark: str = ""
    failure: str = ""
    floor: float | None = None

    @property
    def missed(self) -> bool:
        """Whether something is not as it should be. A value that is no number is not."""
        too_much = self.limit is not None and not self.value <= self.limit
        too_little = self.floor is not None and not self.value >= self.floor
        return bool(self.failure) or too_much or too_little

    @property
    def verdict(self) -> str:
        """In one word or two, for the table; nothing where nothing was asked."""
        if self.missed:
            return "MISSED"
        return "" if self.limit is None and self.floor is None else "ok"


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
    bounds = (("limit", row.limit), ("at least", row.floor))
    asked = ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
    return row.what, f"{row.value:.3g}", row.unit, asked, row.verdict
