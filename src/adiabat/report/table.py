"""The table a run ends with: framed on a terminal, plain text elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adiabat.report.energy_table import energy_sections
from adiabat.report.lines import Line, Summary, is_of_structures, kind_of
from adiabat.report.structures_table import structures_sections


def print_table(summary: Summary, folder: Path | str | None = None, console: Any = None) -> None:
    """Print the table: framed on a terminal, as plain aligned text elsewhere.

    Parameters
    ----------
    summary : mapping
        The contents of ``summary.json``.
    folder : path, optional
        The run folder, named in the last line.
    console : rich.console.Console, optional
        Where to print; standard output by default.
    """
    from rich.console import Console

    console = console or Console()
    if not console.is_terminal:
        print(format_table(summary, folder), file=console.file)
        return

    from rich import box
    from rich.table import Table

    table = Table(title=_title(summary), title_style="bold", box=box.HORIZONTALS, show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="left", overflow="fold")
    table.add_column(style="dim", overflow="fold")
    for section in _sections(summary, folder):
        for line in section:
            table.add_row(*line, style="bold" if line.label == "energy" else None)
        table.add_section()
    console.print(table, highlight=False)


def format_table(summary: Summary, folder: Path | str | None = None) -> str:
    """The table as plain text."""
    sections = _sections(summary, folder)
    lines = [line for section in sections for line in section]
    labels = max((len(line.label) for line in lines), default=0)
    values = max((len(line.value) for line in lines if line.remark), default=0)
    text = [_title(summary)]
    for section in sections:
        text.append("")
        text += [f"  {line.label:{labels}}  {line.value:{values}}  {line.remark}".rstrip() for line in section]
    return "\n".join(text)


def _title(summary: Summary) -> str:
    name, status = summary.get("name", kind_of(summary)), summary.get("status", "finished")
    reason = f": {summary['reason']}" if summary.get("reason") else ""
    return f"{name}" if status == "finished" else f"{name}, {status}{reason}"


def _sections(summary: Summary, folder: Path | str | None) -> list[list[Line]]:
    kind = structures_sections if is_of_structures(summary) else energy_sections
    return [section for section in kind(summary, folder) if section]
