"""Simulations as a user runs them, in units of argon's epsilon and sigma, and error bars for what they give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase.build import bulk

from adiabat.atoms import AtomicData, LennardJones
from adiabat.engine import AbstractCallback, HookStageEnum
from adiabat.units import BOLTZMANN, ENERGY_PER_MASS

EPSILON, SIGMA = LennardJones().parameters_of((18, 18))  # eV, angstrom
MASS = 39.948  # amu
TAU = SIGMA * np.sqrt(MASS / (EPSILON * ENERGY_PER_MASS))  # fs
KELVIN = EPSILON / BOLTZMANN
"""The reduced temperature 1 in kelvin."""


class Recorder:
    """A hook that keeps what `look` sees in the batch, every so many steps in which its sub-stage has members."""

    stage = HookStageEnum.AFTER_STEP

    def __init__(self, look: Callable[[Any], Any], frequency: int = 1) -> None:
        self.look, self.frequency = look, frequency
        self.seen: list[Any] = []

    def __call__(self, batch: Any, driver: Any) -> None:
        if driver.current_mask.any():
            self.seen.append(np.asarray(self.look(batch)))

    def values(self, skipped: float = 0.0) -> np.ndarray:
        """Samples (n, S, ...), the first share of them left out."""
        return np.array(self.seen)[round(skipped * len(self.seen)) :]


class Observables(AbstractCallback):
    """A callback that keeps what a dynamics measures at each step: its observables and the energy."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def on_rows(self, rows: list[dict[str, Any]], driver: Any) -> None:
        self.rows += rows

    def __getitem__(self, name: str) -> np.ndarray:
        """All values (n, S) of one of them; a system alone has no number in its rows."""
        values: dict[int, list[float]] = {}
        for row in self.rows:
            values.setdefault(row.get("system", 0), []).append(row[name])
        return np.array([values[system] for system in sorted(values)]).T


def box(n_cells: int, density: float, seed: int, **fields: Any) -> AtomicData:
    """``4 n_cells**3`` argon atoms of a reduced density in a periodic cube, close to the sites of an fcc crystal."""
    cube = bulk("Ar", "fcc", a=(4 / density) ** (1 / 3) * SIGMA, cubic=True).repeat(n_cells)
    shift = np.random.default_rng(seed).normal(scale=0.03 * SIGMA, size=(len(cube), 3))
    return AtomicData(cube.positions + shift, cube.numbers, cell=np.array(cube.cell), pbc=True, **fields)


def mean_and_error(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of samples (n, S, ...): systems are independent, samples of one are correlated."""
    systems = samples.mean(axis=0)
    return systems.mean(axis=0), systems.std(axis=0, ddof=1) / np.sqrt(len(systems))
