"""Optimizers compared by the energy they reach, against steps and against seconds.

The runs take hours. They may be stopped at any time; the same command goes on, and repeats nothing that is finished.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from adiabat.errors import Interrupted
from bench.optimizer_contestants import BEST_ONLY, CONTESTANTS, PLAN
from bench.optimizer_courses import over_seeds
from bench.optimizer_plot import plot
from bench.optimizer_runs import FAILED, FINISHED, NOT_RUN, OTHER_SETTINGS, Trial, run_all
from bench.optimizer_table import Outcome, insert, tables
from bench.processes import ROOT
from bench.rows import Row

FOLDER = Path("runs/optimizers")
PAGE = ROOT / "docs" / "optimizers.md"
PICTURE = ROOT / "docs" / "images" / "optimizers.png"
CAPTION = "Energy above exact against steps and against seconds of training"


def measure(
    systems: Sequence[str] = ("Be", "LiH"),
    seeds: Sequence[int] = (0, 1, 2),
    contestants: Sequence[str] = tuple(CONTESTANTS),
    *,
    folder: Path = FOLDER,
    hours: float | None = None,
    retry: bool = False,
    show: bool = False,
    settings: Sequence[str] = (),
) -> list[Row]:
    """Make the runs that are not there, print the energies on the way, and return those at the end.

    Parameters
    ----------
    systems : sequence of str
    seeds : sequence of int
    contestants : sequence of str
        Of `CONTESTANTS`.
    folder : path
        Where the runs are kept.
    hours : float, optional
        Training time allowed to each run.
    retry : bool
        Whether failed runs are tried again.
    show : bool
        Run nothing, only show what there is.
    settings : sequence of str
        Further words of the command line.
    """
    trials = [
        Trial(contestant, system, seed, folder.resolve(), tuple(settings))
        for system in systems
        for seed in seeds
        for contestant in contestants
    ]
    if not show:
        try:
            run_all(trials, hours=hours, retry=retry)
        except KeyboardInterrupt:
            print("stopped; the same command goes on", file=sys.stderr)
            raise SystemExit(Interrupted.exit_code) from None
    outcomes = [Outcome.of(trial) for trial in trials]
    print(f"{tables(outcomes, heading='==')}\n")
    return [
        _row(system, name, [o for o in outcomes if (o.system, o.contestant) == (system, name)])
        for system in systems
        for name in contestants
    ]


def write_docs(folder: Path = FOLDER, page: Path = PAGE, picture: Path = PICTURE) -> None:
    """Write the table and the picture of everything that docs/ is to show, and say there what is missing."""
    outcomes = [
        Outcome.of(Trial(contestant, system, seed, folder.resolve()))
        for system, seeds in PLAN.items()
        for contestant in CONTESTANTS
        for seed in seeds
    ]
    outcomes = [outcome for outcome in outcomes if outcome.system not in BEST_ONLY or outcome.state != NOT_RUN]
    absent = [system for system in PLAN if system not in {outcome.system for outcome in outcomes}]
    parts = [tables(outcomes), f"Not run at all: {', '.join(absent)}." if absent else ""]
    if plot(picture, outcomes):
        parts.insert(0, f"![{CAPTION}]({picture.relative_to(page.parent)})")
    insert(page, "\n\n".join(part for part in parts if part))


def _row(system: str, contestant: str, outcomes: Sequence[Outcome]) -> Row:
    mean = over_seeds([outcome.final for outcome in outcomes])
    failed = [f"seed {o.seed}: {o.failure or o.state}" for o in outcomes if o.state in (FAILED, OTHER_SETTINGS)]
    paces = [o.training.seconds_a_step for o in outcomes if o.training.steps]
    left = [f"seed {o.seed} {o.short}" for o in outcomes if o.state not in (FINISHED, FAILED, OTHER_SETTINGS)]
    remarks = [f"{mean.text()}, seeds: {mean.seeds}" if mean else ""]
    remarks += [f"{sum(paces) / len(paces):.3g} s a step" if paces else "", *left]
    group = f"optimizers: {system}, evaluated, above exact"
    value = math.nan if mean is None else mean.mean
    return Row(group, contestant, value, "millihartree", None, ", ".join(filter(None, remarks)), "; ".join(failed))
