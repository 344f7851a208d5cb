"""The tasks, and what is simulated in them: argon, the same numbers for every program.

==============  =======================================================================================================
``boxes``       64 periodic boxes of 32 atoms, NVE
``clusters``    200 clusters of 8 to 40 atoms, relaxed by FIRE
``crystal-N``   one box of N atoms, a warm crystal, NVE with a cutoff of 8.5 angstrom and neighbor lists built anew
==============  =======================================================================================================
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.dynamics.programs.served import Inputs

EPSILON, SIGMA, MASS = 0.0104, 3.40, 39.948
LATTICE = 5.3  # angstrom, of the crystal
BOLTZMANN, ENERGY_PER_MASS = 8.617333e-5, 9.648533e-3  # eV/K; (angstrom/fs)**2 per eV/amu
FAR = 60.0  # angstrom: every atom of a cluster sees every other


def boxes(n_systems: int = 64, repeats: int = 2) -> Inputs:
    """Boxes of rattled crystal, as long as twice the cutoff and a little more."""
    rng = np.random.default_rng(0)
    positions, cell = _crystal((repeats,) * 3)
    moved = [positions + 0.05 * rng.normal(size=positions.shape) for _ in range(n_systems)]
    return _inputs(moved, 50.0, rng, cell=cell, cutoff=5.2, dt=2.0)


def crystal(repeats: tuple[int, int, int]) -> Inputs:
    """Warm enough that lists go out of date."""
    rng = np.random.default_rng(1)
    positions, cell = _crystal(repeats)
    return _inputs([positions + 0.1 * rng.normal(size=positions.shape)], 120.0, rng, cell=cell, cutoff=8.5, dt=4.0)


def clusters(n_systems: int = 200) -> Inputs:
    """Atoms thrown into a ball that is a little too small for comfort, no two nearer than 0.8 sigma."""
    rng = np.random.default_rng(2)
    return _inputs([_cluster(rng) for _ in range(n_systems)], 0.0, rng, cell=np.zeros((3, 3)), cutoff=FAR, dt=1.0)


def write(inputs: Inputs, file: Path) -> None:
    """To an npz, for `Inputs.read`."""
    np.savez(file, **asdict(inputs))


def energies(inputs: Inputs, positions: np.ndarray) -> np.ndarray:
    """Energies (S,) in eV of clusters, by all pairs, without cutoff: of whatever minima a program found."""
    found = []
    for x in inputs.split(positions):
        first, second = np.triu_indices(len(x), 1)
        s6 = (inputs.sigma**2 / ((x[first] - x[second]) ** 2).sum(axis=1)) ** 3
        found.append(4 * inputs.epsilon * float((s6 * (s6 - 1)).sum()))
    return np.array(found)


def _crystal(repeats: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Positions and cell of so many face-centred cubes."""
    corners = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return LATTICE * (corners + basis).reshape(-1, 3), LATTICE * np.diag(repeats).astype(float)


def _cluster(rng: np.random.Generator) -> np.ndarray:
    n_atoms = int(rng.integers(8, 41))
    half = 0.65 * SIGMA * n_atoms ** (1 / 3)
    points: list[np.ndarray] = []
    while len(points) < n_atoms:
        point = rng.uniform(-half, half, 3)
        if all(np.linalg.norm(point - other) > 0.8 * SIGMA for other in points):
            points.append(point)
    return np.array(points)


def _inputs(
    positions: list[np.ndarray], kelvin: float, rng: np.random.Generator, *, cell: np.ndarray, cutoff: float, dt: float
) -> Inputs:
    """With velocities of that temperature, each system's center at rest."""
    speed = np.sqrt(BOLTZMANN * kelvin * ENERGY_PER_MASS / MASS)
    velocities = [speed * rng.normal(size=x.shape) for x in positions]
    return Inputs(
        sizes=np.array([len(x) for x in positions]),
        positions=np.concatenate(positions),
        velocities=np.concatenate([v - v.mean(axis=0) for v in velocities]),
        cells=np.array([cell] * len(positions)),
        epsilon=EPSILON, sigma=SIGMA, mass=MASS, cutoff=cutoff, skin=1.0, dt=dt, fmax=0.01,
    )  # fmt: skip
