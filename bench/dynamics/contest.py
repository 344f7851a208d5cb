"""Programs that take turns at a task, each in a process of its own, all on the same core with one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import adiabat
from bench.dynamics.environments import NotInstalled, interpreter
from bench.processes import ROOT, ChildFailed

OURS = "adiabat"
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
CACHES = ("JAX_COMPILATION_CACHE_DIR", "WARP_CACHE_PATH", "TORCHINDUCTOR_CACHE_DIR")


@dataclass
class Record:
    """What a program did.

    Parameters
    ----------
    first : mapping
        What its first round gave, with everything that is compiled for it; empty if there was none.
    seconds : dict
        CPU seconds a step (of a relaxation: all of it) by round, less what compiling took.
    last : mapping
        What its last round gave.
    problem : str
        Why there is no more of it.
    """

    first: Mapping[str, Any] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def pace(self) -> float:
        """Median of `seconds`."""
        return median(self.seconds.values())


class Program:
    """A process that waits for its turn, as `served.serve` has it."""

    def __init__(self, name: str, task: str, inputs: Path, scratch: Path, options: Mapping[str, int]) -> None:
        source = [str(Path(adiabat.__file__).resolve().parent.parent)] if name == OURS else []
        environment = {
            **os.environ,
            **ONE_THREAD,
            **{cache: str(scratch / f"{name}-{cache}") for cache in CACHES},
            "PYTHONPATH": os.pathsep.join([str(ROOT), *source]),
        }
        python = sys.executable if name == OURS else str(interpreter(name))
        words = [f"{key}={value}" for key, value in options.items()]
        self._errors = (scratch / f"{name}.log").open("w+")
        self._process = subprocess.Popen(
            [python, "-m", f"bench.dynamics.programs.{name}", task, str(inputs), *words],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, {max(os.sched_getaffinity(0))})

    def round(self, steps: int) -> dict[str, Any]:
        """What so many steps gave.

        Raises
        ------
        ChildFailed
            The program ended instead.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(steps, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise ChildFailed(self._complaint()) from None
        for line in self._process.stdout:
            if line.startswith('{"'):
                found: dict[str, Any] = json.loads(line)
                return found
        raise ChildFailed(self._complaint())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _complaint(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        return (self._errors.read().strip().splitlines() or ["it ended without a word"])[-1]


def take_turns(
    task: str,
    inputs: Path,
    scratch: Path,
    steps: Mapping[str, int],
    *,
    first_steps: int,
    rounds: int,
    patience: float,
    options: Mapping[str, int] | None = None,
) -> dict[str, Record]:
    """Let the programs of `steps` (how many each does in a round) do a task, round by round.

    A program sits out the rounds that are left after `patience` CPU seconds. One that cannot be begun again warm for
    that has its first round counted instead.
    """
    records = {name: Record() for name in steps}
    running: dict[str, Program] = {}
    try:
        for name, record in records.items():
            try:
                running[name] = Program(name, task, inputs, scratch, options or {})
                record.first = record.last = running[name].round(first_steps)
            except (NotInstalled, ChildFailed) as error:
                record.problem = str(error)
        for number in range(rounds):
            for name in _patient(records, patience):
                _turn(records[name], running[name], number, steps[name])
    finally:
        for program in running.values():
            program.close()
    for record in records.values():
        if record.first and not record.seconds:
            record.seconds[0] = record.first["seconds"] / first_steps
    return records


def ratio(records: Mapping[str, Record], peer: str) -> float:
    """How many times as long as adiabat a program took, in the rounds that both did."""
    theirs, ours = records[peer].seconds, records[OURS].seconds
    return median(theirs[number] / ours[number] for number in theirs if number in ours)


def _patient(records: Mapping[str, Record], patience: float) -> Sequence[str]:
    return [
        name
        for name, record in records.items()
        if not record.problem and record.last["before"] + record.last["seconds"] < patience
    ]


def _turn(record: Record, program: Program, number: int, steps: int) -> None:
    try:
        record.last = program.round(steps)
    except ChildFailed as error:
        record.problem = str(error)
        return
    record.seconds[number] = (record.last["seconds"] - record.last.get("compiling", 0.0)) / steps
