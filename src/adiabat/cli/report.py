"""`adiabat report FOLDER`: table and plots again, from a run's files."""

from __future__ import annotations

from adiabat.cli.arguments import Arguments
from adiabat.cli.sources import run_folder

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Print the table of a run and draw its plots anew."""
    folder = run_folder(arguments.positionals[0])
    from adiabat.report import run_report

    run_report(folder)
    return 0
