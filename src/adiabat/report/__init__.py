"""What a person looks at: the live line of a run, its table, its plots."""

from adiabat.report.live import LiveProgress
from adiabat.report.live_structures import LiveStructures
from adiabat.report.metrics import read_metrics
from adiabat.report.plots import plot_run
from adiabat.report.report import draw_plots, run_report
from adiabat.report.structures_table import failures
from adiabat.report.table import format_table, print_table

__all__ = [
    "LiveProgress",
    "LiveStructures",
    "draw_plots",
    "failures",
    "format_table",
    "plot_run",
    "print_table",
    "read_metrics",
    "run_report",
]
