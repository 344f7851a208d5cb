"""Relaxations of Lennard-Jones clusters in flight, against ASE one by one and against published minima."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from ase.calculators.lj import LennardJones as ASELennardJones
from ase.optimize import FIRE as ASEFire

from adiabat.atoms import FIRE, MemorySink, SizeAwareSampler, from_ase
from adiabat.atoms.fused_stage import FusedStage
from adiabat.atoms.potentials import LennardJones

EPSILON, SIGMA, CUTOFF = 0.0104, 3.4, 30.0
ARGON = LennardJones(pairs={("Ar", "Ar"): (EPSILON, SIGMA)}, cutoff=CUTOFF)
FMAX = 1e-4


def clusters(count, seed=3):
    """Loose random clusters of 4 to 13 argon atoms."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        n = int(rng.integers(4, 14))
        points = []
        while len(points) < n:
            point = rng.uniform(-1, 1, 3) * 1.1 * SIGMA * n ** (1 / 3)
            if all(np.linalg.norm(point - other) > 0.9 * SIGMA for other in points):
                points.append(point)
        found.append(ase.Atoms(f"Ar{n}", positions=points))
    return found


def by_ase(atoms):
    """ASE's own relaxation: final energy, positions, steps."""
    atoms = atoms.copy()
    atoms.calc = ASELennardJones(epsilon=EPSILON, sigma=SIGMA, rc=CUTOFF, smooth=False)
    optimizer = ASEFire(atoms, logfile=None)
    optimizer.run(fmax=FMAX, steps=5000)
    return atoms.get_potential_energy(), atoms.positions, optimizer.nsteps


def relaxed(structures, slots):
    """All of them in flight, by their index."""
    sink = MemorySink()
    fire = FIRE(ARGON, fmax=FMAX)
    sampler = SizeAwareSampler([from_ase(atoms) for atoms in structures])
    fused = FusedStage([(0, fire)], sampler=sampler, sinks=[sink], max_batch_size=slots)
    assert fused.run() is None
    assert fused.ledger.counts["done"] == len(structures)
    return sink


@pytest.mark.parametrize("slots", [2, 12])
def test_clusters_in_flight_end_in_the_minima_of_ase_after_as_many_steps(slots):
    structures = clusters(12)
    sink = relaxed(structures, slots)
    for i, atoms in enumerate(structures):
        energy, positions, steps = by_ase(atoms)
        found = sink.find(i)
        assert found.info["steps"] == steps
        assert found.info["fmax"] == pytest.approx(np.linalg.norm(found.forces, axis=1).max(), rel=1e-12)
        assert found.energy == pytest.approx(energy, abs=1e-9)
        np.testing.assert_allclose(found.positions, positions, atol=1e-6)


@pytest.mark.parametrize(("n_atoms", "count", "minimum"), [(7, 64, -16.505384), (13, 256, -44.326801)])
def test_random_starts_find_the_known_minimum_and_nothing_below(n_atoms, count, minimum):
    """The Cambridge Cluster Database, in units of epsilon."""
    rng = np.random.default_rng(n_atoms)
    starts = [
        ase.Atoms(f"Ar{n_atoms}", positions=rng.normal(size=(n_atoms, 3)) * 0.4 * SIGMA * n_atoms ** (1 / 3))
        for _ in range(count)
    ]
    sink = relaxed(starts, 64)
    energies = np.array([sink.find(i).energy for i in range(len(starts))]) / EPSILON
    # The potential is shifted to zero at the cutoff, by this much for each pair.
    shift = 4 * ((SIGMA / CUTOFF) ** 12 - (SIGMA / CUTOFF) ** 6) * n_atoms * (n_atoms - 1) / 2
    assert energies.min() + shift == pytest.approx(minimum, abs=1e-4)
