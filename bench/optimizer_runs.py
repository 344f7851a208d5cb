"""The runs that compare optimizers: each a process with a folder of its own, which may be stopped at any time.

Beside the folder of a run lies a record, as JSON: the settings it was begun with, the cores it had, and if it failed,
how. Whether a run is finished its own summary says.
"""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from adiabat.cli.blas_threads import available_cores
from adiabat.errors import Interrupted
from adiabat.io import RunFolder
from adiabat.io.atomic import write_json
from bench.optimizer_contestants import CONTESTANTS, SYSTEMS
from bench.optimizer_courses import read_training
from bench.processes import start

FINISHED, UNFINISHED, FAILED, NOT_RUN = "finished", "unfinished", "failed", "not run"
OTHER_SETTINGS = "made with other settings"
"""What may be known of a run."""

SLACK = 0.02
"""Share of the training time allowed that is not worth another start."""
LONGEST = 200
"""Characters that are kept of what a failed run said."""


class Ended(NamedTuple):
    """How a process ended: its exit code, and the last line it wrote to standard error."""

    code: int
    said: str


Run = Callable[[Sequence[str]], Ended]
"""Runs Python with these words until it ends."""


@dataclass(frozen=True)
class Trial:
    """One optimizer on one system with one seed.

    Parameters
    ----------
    contestant, system : str
    seed : int
    root : path
        Folder of all runs.
    settings : tuple of str
        Further words of the command line.
    """

    contestant: str
    system: str
    seed: int
    root: Path
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.contestant} on {self.system}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        return self.root / self.contestant / f"{self.system}-{self.seed}"

    @property
    def record_file(self) -> Path:
        # Not in the run's folder, which a run that was refused removes.
        return self.folder.with_name(f"{self.folder.name}.json")

    @property
    def words(self) -> tuple[str, ...]:
        """What tells this run from others, in words of the command line."""
        return *CONTESTANTS[self.contestant], *SYSTEMS.get(self.system, ()), *self.settings

    @property
    def command(self) -> tuple[str, ...]:
        """Python's command line. The same one begins a run and goes on with it."""
        run = ("-m", "adiabat", "energy", self.system, "--seed", str(self.seed), "--out", str(self.folder), "--quiet")
        return *run, *self.words

    @property
    def training_done(self) -> bool:
        return any((self.folder / "checkpoints").glob("end-of-train-step-*.npz"))

    @property
    def state(self) -> str:
        """One of the constants above."""
        record, begun = self.record(), self.folder.exists()
        same = record.get("words") == list(self.words)
        if same and record.get("failure"):
            return FAILED
        if not begun:
            return NOT_RUN
        if not same:
            return OTHER_SETTINGS
        return FINISHED if self.summary().get("status") == "finished" else UNFINISHED

    def record(self) -> dict[str, Any]:
        """What was noted of the run; empty before it was begun."""
        return dict(json.loads(self.record_file.read_text())) if self.record_file.is_file() else {}

    def note(self, **more: str) -> None:
        """Write the record anew."""
        self.record_file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.record_file, {"words": list(self.words), "cores": available_cores(), **more})

    def summary(self) -> dict[str, Any]:
        """Contents of the run's summary; empty if there is none."""
        return RunFolder(self.folder).read_summary()


def run_all(
    trials: Sequence[Trial], *, hours: float | None = None, retry: bool = False, run: Run | None = None
) -> None:
    """Begin every run that was not begun, and go on with every one that was stopped; one after the other.

    Parameters
    ----------
    trials : sequence of Trial
    hours : float, optional
        Training time allowed to each run, over all its starts together.
    retry : bool
        Whether failed runs are tried again; they go on from their last checkpoint.
    run : callable, optional
        In place of `run_python`.

    Raises
    ------
    KeyboardInterrupt
        By Ctrl-C or SIGTERM, after the run in progress has saved its state.
    """
    wanted = (UNFINISHED, NOT_RUN, FAILED) if retry else (UNFINISHED, NOT_RUN)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for number, trial in enumerate(trials, 1):
            if trial.state in wanted:
                _say(f"[{number}/{len(trials)}] {trial.name} ...")
                carry_out(trial, run or run_python, hours)
    finally:
        signal.signal(signal.SIGTERM, before)


def carry_out(trial: Trial, run: Run, hours: float | None = None) -> None:
    """Run until finished, failed, or trained for as long as is allowed."""
    trial.note()
    limit = math.inf if hours is None else 3600.0 * hours
    while (left := _seconds_left(trial, limit)) > 0.0:
        trained = read_training(trial.folder).steps
        limited = left < math.inf
        # adiabat's own limit covers compilation too, so one start may train for less than what is left.
        ended = run((*trial.command, "--time-limit", f"{left:.1f}s") if limited else trial.command)
        if ended.code == 0:
            return
        if ended.code == Interrupted.exit_code:
            if not limited:
                raise KeyboardInterrupt
            if trial.training_done or read_training(trial.folder).steps != trained:
                continue
            ended = Ended(ended.code, f"not a step within {hours:g} hours")
        elif "in use by another process" in ended.said:
            _say(f"{trial.name} is in use by another process")
            return
        said = ended.said.replace(str(trial.folder), "the run folder")[:LONGEST]
        trial.note(failure=f"exit code {ended.code}: {said}" if ended.code > 0 else said)
        _say(f"{trial.name} failed: {said}")
        return
    _say(f"{trial.name} has trained for {hours:g} hours")


def run_python(words: Sequence[str]) -> Ended:
    """Run Python; whatever interrupts the waiting lets the run save its state first."""
    with start(*words) as process:
        try:
            _, complaint = process.communicate()
        except BaseException:
            process.terminate()
            process.communicate()
            raise
    if process.returncode < 0:
        return Ended(process.returncode, f"ended by {signal.Signals(-process.returncode).name}")
    return Ended(process.returncode, (complaint.strip().splitlines() or ["it said nothing"])[-1])


def _seconds_left(trial: Trial, limit: float) -> float:
    """Of training; without end once the training is done, because the rest is evaluation."""
    if math.isinf(limit) or trial.training_done:
        return math.inf
    left = limit - read_training(trial.folder).total_seconds
    return left if left > SLACK * limit else 0.0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
