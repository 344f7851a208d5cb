"""`python -m bench.first_step FOLDER SYSTEM SETTINGS`: says when a run has made its first training step.

It does what `adiabat energy SYSTEM --out FOLDER` does up to there, compiles what the rest would need, and stops.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adiabat.cli.process import prepare
from bench.processes import ChildFailed, start

DONE = "first training step done"


def seconds_to_first_step(
    folder: Path, cache: Path, system: str = "LiH", settings: Mapping[str, Any] | None = None
) -> float:
    """Seconds from the start of a process to the first training step of its run.

    Parameters
    ----------
    folder : path
        Of the run; fresh.
    cache : path
        Of compiled programs; it is filled with all that the run needs.
    system : str
    settings : mapping, optional
        Of the run, where they are not the defaults.

    Raises
    ------
    ChildFailed
        The run ended before.
    """
    words = ("-m", "bench.first_step", str(folder), system, json.dumps(settings or {}))
    launched = time.perf_counter()
    with start(*words, cache=cache) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        done = any(line.startswith(DONE) for line in process.stdout)
        seconds = time.perf_counter() - launched
        complaint = process.stderr.read()
    if not done:
        raise ChildFailed(complaint.strip().splitlines()[-1])
    return seconds


def main(folder: str, system: str, settings: str) -> None:
    """Run to the first training step."""
    prepare()
    from adiabat.config import ConfigManager, from_keywords
    from adiabat.electrons.energy import run_energy
    from adiabat.engine import AbstractCallback, Driver
    from adiabat.errors import Interrupted

    class FirstStep(AbstractCallback):
        """Announces the first step and ends the run."""

        def on_rows(self, rows: list[dict[str, Any]], driver: Driver) -> None:
            print(DONE, flush=True)
            driver.compile()
            raise Interrupted("the first step is all that is wanted")

    cfg = ConfigManager([from_keywords(**json.loads(settings))])
    try:
        run_energy(cfg, system=system, out=Path(folder), callbacks=[FirstStep()])
    except Interrupted:
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
