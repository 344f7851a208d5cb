"""From the command to an accurate energy: whole runs with nothing compiled before, against exact energies."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adiabat.vmc.statistics import format_with_error
from bench.processes import ChildFailed, output_of, scratch_folder
from bench.rows import Row

GROUP = "time to accuracy: adiabat energy, Hartree-Fock and compilation included"
SECONDS = {"H2": 30.0, "LiH": 120.0, "Be": 180.0}
"""Limits of the wall time."""
ABOVE_EXACT = 1.6
"""Chemical accuracy, millihartree."""
ERROR = 0.5
"""Error bars must be smaller, millihartree."""
SIGMAS_BELOW = 4.0
"""A variational energy further below the exact one is wrong."""


def measure(
    systems: Sequence[str] = ("H2", "LiH", "Be"), seeds: Sequence[int] = (0, 1, 2), settings: Sequence[str] = ()
) -> list[Row]:
    """Wall seconds of each run, and how far its energy is above the exact one.

    Parameters
    ----------
    systems : sequence of str
    seeds : sequence of int
    settings : sequence of str
        Further words of the command line.
    """
    return [_row(system, seed, settings) for system in systems for seed in seeds]


def _row(system: str, seed: int, settings: Sequence[str]) -> Row:
    what, limit = f"{system}, seed {seed}", SECONDS.get(system)
    with scratch_folder() as folder:
        words = ("-m", "adiabat", "energy", system, "--seed", str(seed), "--out", str(folder / "run"), *settings)
        started = time.perf_counter()
        try:
            output_of(*words, cache=folder / "cache")
        except ChildFailed as failed:
            return Row(GROUP, what, time.perf_counter() - started, "s", limit, failure=str(failed))
        seconds = time.perf_counter() - started
        summary = _summary(folder / "run")
    remark, failure = judged(summary)
    return Row(GROUP, what, seconds, "s", limit, remark, failure)


def _summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def judged(summary: dict[str, Any]) -> tuple[str, str]:
    """The energy as a remark, and what is wrong with it: nothing, if it is accurate and its error bar small."""
    energy, error, exact = (summary.get(name) for name in ("energy", "energy_error", "exact_energy"))
    if energy is None or error is None:
        return "", "no energy"
    if exact is None:
        return f"{format_with_error(energy, error)} hartree, exact energy unknown", ""
    above, bar = 1e3 * (energy - exact), 1e3 * error
    failures = [
        f"not within {ABOVE_EXACT} millihartree" if not above <= ABOVE_EXACT else "",
        f"error bar not below {ERROR} millihartree" if not bar < ERROR else "",
        f"more than {SIGMAS_BELOW:g} error bars below exact" if not above >= -SIGMAS_BELOW * bar else "",
    ]
    return f"{format_with_error(above, bar)} millihartree above exact", ", ".join(filter(None, failures))
