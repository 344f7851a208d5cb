"""A program as a process that does a task in rounds: it is told how many steps, and says how long they took.

Only the standard library and NumPy: this runs in the environments of all programs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Round = Callable[[int], dict[str, Any]]
"""Does so many steps (a relaxation: all that it needs), and says what came out, in what JSON can hold."""


@dataclass(frozen=True)
class Inputs:
    """What is to be simulated: argon, by a Lennard-Jones potential cut off and shifted to zero there.

    eV, angstrom, fs, amu.
    """

    sizes: Any  # int (S,)
    positions: Any  # (atoms of all systems, 3)
    velocities: Any
    cells: Any  # (S, 3, 3), zero for clusters
    epsilon: float
    sigma: float
    mass: float
    cutoff: float
    skin: float  # how much farther a neighbor list sees
    dt: float
    fmax: float  # the largest force of a relaxed cluster

    @classmethod
    def read(cls, file: str) -> Inputs:
        """From an npz."""
        with np.load(file) as arrays:
            return cls(**{name: x if x.ndim else x.item() for name, x in arrays.items()})

    @property
    def periodic(self) -> bool:
        """Whether the systems repeat."""
        return bool(self.cells.any())

    def split(self, values: Any) -> list[Any]:
        """Rows of all atoms, system by system."""
        return np.split(np.asarray(values), np.cumsum(self.sizes)[:-1])

    def systems(self) -> Iterator[tuple[Any, Any, Any]]:
        """Positions, velocities and cell of each system."""
        return zip(self.split(self.positions), self.split(self.velocities), self.cells, strict=True)


def serve(tasks: Mapping[str, Callable[..., Round]]) -> None:
    """`python -m bench.dynamics.programs.NAME TASK INPUTS [OPTION=NUMBER ...]`.

    A round for each line of input, a number of steps, until there are no more lines; the first begins with nothing,
    with all that is compiled and built for it. A line of JSON tells of each round: CPU seconds of this process, which
    depend less on what else the machine does than wall time, those before it, and what came out.
    """
    task, file, *options = sys.argv[1:]
    settings = {name: int(value) for name, value in (option.split("=") for option in options)}
    inputs, run = Inputs.read(file), None
    for line in sys.stdin:
        start = time.process_time()
        run = run or tasks[task](inputs, **settings)
        found = run(int(line))
        seconds = time.process_time() - start
        print(json.dumps({**found, "seconds": seconds, "before": start}), flush=True)


def kinetic_energies(inputs: Inputs, velocities: Any) -> list[float]:
    """Of each system, from velocities of all atoms whose square times the mass is an energy in eV."""
    return [0.5 * inputs.mass * float((v**2).sum()) for v in inputs.split(velocities)]
