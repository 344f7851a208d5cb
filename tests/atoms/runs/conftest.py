"""A file of small argon clusters, and a run of them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

# Makes what is here importable.
sys.path.insert(0, str(Path(__file__).parent))

SIZES = (3, 7, 4, 5, 13, 4)


def clusters() -> list[Atoms]:
    """Random clusters of argon whose atoms do not overlap."""
    rng = np.random.default_rng(7)
    made = []
    for size in SIZES:
        positions: list[np.ndarray] = []
        while len(positions) < size:
            place = rng.uniform(0, 3.6 * size ** (1 / 3) + 1, 3)
            if all(np.linalg.norm(place - other) > 3.0 for other in positions):
                positions.append(place)
        made.append(Atoms(f"Ar{size}", positions))
    return made


@pytest.fixture(scope="session")
def argon(tmp_path_factory):
    """An extxyz file of the clusters, each with a word and a number of its own."""
    path = tmp_path_factory.mktemp("argon") / "argon.extxyz"
    frames = clusters()
    for number, atoms in enumerate(frames):
        atoms.info["label"] = f"cluster {number}"
        atoms.info["weight"] = 0.5 * number
    write(path, frames)
    return path
