"""How long until something happens: the import, the help, and the first training step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bench.first_step import seconds_to_first_step
from bench.processes import output_of, scratch_folder
from bench.rows import Row
from bench.stopwatch import Times

GROUP = "start-up"
LATE = ("pyscf", "matplotlib", "ase")
"""Imported where they are used and not before."""
IMPORT = f"""
import sys, time
start = time.perf_counter()
import adiabat
seconds = time.perf_counter() - start
import adiabat.electrons.energy
print(seconds, time.perf_counter() - start, *(name for name in {LATE} if name in sys.modules))
"""


def measure(
    *, repeats: int = 7, system: str = "LiH", settings: Mapping[str, Any] | None = None, first_step: bool = True
) -> list[Row]:
    """Seconds of the import, of ``adiabat --help`` and of the first training step, each in fresh processes.

    Parameters
    ----------
    repeats : int
        Of import and help; the median counts, so that the first, which compiles to bytecode, does not.
    system, settings
        Of the run whose first step is timed, as for `seconds_to_first_step`.
    first_step : bool
        Whether to time it.
    """
    rows = [*_imports(repeats), _help(repeats)]
    return [*rows, *_first_steps(system, settings)] if first_step else rows


def _imports(repeats: int) -> list[Row]:
    package, everything, early = [], [], set[str]()
    for _ in range(repeats):
        one, all_of_it, *names = output_of("-c", IMPORT).split()
        package.append(float(one))
        everything.append(float(all_of_it))
        early |= set(names)
    one_time, all_time = Times(tuple(package)), Times(tuple(everything))
    which = ", ".join(sorted(early)) or f"not {', not '.join(LATE)}"
    return [
        Row(GROUP, "import adiabat", one_time.median, "s", 1.0, one_time.range),
        Row(GROUP, "import all of an energy run", all_time.median, "s", remark=f"{all_time.range}, JAX included"),
        Row(GROUP, "modules imported too early", len(early), "", 0, f"{which} imported"),
    ]


def _help(repeats: int) -> Row:
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        output_of("-m", "adiabat", "--help")
        found.append(time.perf_counter() - start)
    times = Times(tuple(found))
    return Row(GROUP, "adiabat --help", times.median, "s", 0.3, times.range)


def _first_steps(system: str, settings: Mapping[str, Any] | None) -> list[Row]:
    with scratch_folder() as folder:
        cold, cached = (
            seconds_to_first_step(folder / name, folder / "cache", system, settings) for name in ("cold", "cached")
        )
    size = "the small network unless set otherwise"
    return [
        Row(GROUP, f"first training step of {system}, cold", cold, "s", 15.0, size),
        Row(GROUP, f"first training step of {system}, compiled before", cached, "s", 6.0, size),
    ]
