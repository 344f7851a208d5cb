"""Runs of many structures in a folder of their own: relax, md, and any chain of stages."""

from adiabat.atoms.runs.results import StructuresResult, read_results
from adiabat.atoms.runs.run import FINISHED_BEFORE, run_structures
from adiabat.atoms.runs.tally import Progress, Tally

__all__ = ["FINISHED_BEFORE", "Progress", "StructuresResult", "Tally", "read_results", "run_structures"]
