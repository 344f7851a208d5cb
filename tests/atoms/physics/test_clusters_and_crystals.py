"""Known minima of Lennard-Jones clusters, and crystals of argon: lattice constants and bulk moduli."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones as ASELennardJones
from ase.cluster import Octahedron
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE as ASEFire
from simulations import EPSILON, SIGMA

from adiabat.atoms import (
    FIRE,
    FIRE2,
    Batch,
    ConvergenceHook,
    FrechetCell,
    FusedStage,
    LennardJones,
    MemorySink,
    SizeAwareSampler,
    from_ase,
)
from adiabat.units import GPA_PER_EV_PER_CUBIC_ANGSTROM

WHOLE = LennardJones(cutoff=float("inf"), truncation="none", search="all-pairs")


def energies(potential, structures):
    """Of structures as they are, in one batch."""
    return np.asarray(FIRE(potential).compute(Batch.from_data_list([from_ase(s) for s in structures]))["energy"])


# --- clusters -----------------------------------------------------------------------------------------------


def test_the_global_minima_of_clusters():
    """LJ38 from truncated octahedra of an fcc crystal, LJ7 and LJ13 from random starts, in one stream.

    Wales et al., The Cambridge Cluster Database, https://www-wales.ch.cam.ac.uk/CCD.html.
    """
    minima, counts = {7: -16.505384, 13: -44.326801, 38: -173.928427}, {7: 40, 13: 150, 38: 4}
    rng = np.random.default_rng(0)
    octahedron = Octahedron("Ar", 4, 1, latticeconstant=1.5 * SIGMA).positions
    starts = []
    for n, count in counts.items():
        loose = 0.4 * SIGMA * n ** (1 / 3) * rng.normal(size=(count, n, 3))
        near = octahedron + 0.05 * SIGMA * rng.normal(size=(count, 38, 3)) if n == 38 else None
        starts += [Atoms(f"Ar{n}", x) for x in (loose if near is None else near)]

    sink = MemorySink()
    relaxer = FIRE2(WHOLE, max_step=0.5, convergence_hook=ConvergenceHook.from_fmax(1e-5))
    sampler = SizeAwareSampler([from_ase(start) for start in starts])
    assert FusedStage([(0, relaxer)], sampler=sampler, sinks=[sink], max_batch_size=64).run() is None
    found = np.array([sink.find(i).energy for i in range(len(starts))]) / EPSILON
    sizes = np.array([len(start) for start in starts])
    for n, minimum in minima.items():
        there = np.abs(found[sizes == n] - minimum) < 1e-5
        print(f"LJ{n}: lowest {found[sizes == n].min():.6f}, {there.sum()} of {there.size} starts reach {minimum}")
        assert found[sizes == n].min() > minimum - 1e-6
        assert there.all() if n == 38 else there.any()


# --- crystals -----------------------------------------------------------------------------------------------


def fitted(constants, energy):
    """Birch and Murnaghan's equation of state: lattice constant in angstrom, energy in eV, bulk modulus in GPa."""
    volume, minimum, modulus = EquationOfState(np.asarray(constants) ** 3 / 4, energy, "birchmurnaghan").fit()
    return (4 * volume) ** (1 / 3), minimum, modulus * GPA_PER_EV_PER_CUBIC_ANGSTROM


def test_the_equation_of_state_of_argon_is_that_of_ase():
    """With the cutoff between two shells, so that none of these strains takes a neighbor across it."""
    constants = 1.5495 * SIGMA * np.linspace(0.985, 1.015, 9)
    cutoff = 2.6 * SIGMA
    cells = [bulk("Ar", "fcc", a=a) for a in constants]
    ours = fitted(constants, energies(LennardJones(cutoff=cutoff), cells))
    for cell in cells:
        cell.calc = ASELennardJones(epsilon=EPSILON, sigma=SIGMA, rc=cutoff)
    theirs = fitted(constants, [cell.get_potential_energy() for cell in cells])
    print(f"fcc argon, lattice constant (angstrom), energy (eV), bulk modulus (GPa): {ours}, by ASE {theirs}")
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def test_the_crystal_has_the_properties_that_lattice_sums_say():
    """Sums of 1/r^12 and 1/r^6 over an fcc lattice: 36 shells within the cutoff, what lies beyond as a continuum.

    Kittel, Introduction to Solid State Physics, ch. 3: ``A_12 = 12.13188``, ``A_6 = 14.45392`` in units of the distance
    of neighbors; hence ``r_0 = (2 A_12/A_6)**(1/6) sigma``, ``E = -epsilon A_6**2 / (2 A_12)`` an atom, and
    ``B = 4 epsilon/sigma**3 A_12 (A_6/A_12)**(5/2)``, 75.2 epsilon/sigma**3.
    """
    a12, a6 = 12.13188, 14.45392
    strains = np.linspace(0.996, 1.004, 7)  # none takes a shell across the cutoff
    constants = 1.5417 * SIGMA * strains
    cells = [bulk("Ar", "fcc", a=a) for a in constants]
    cutoff = 1.5417 * np.sqrt(36.5 / 2)
    density, edge = 4 * (SIGMA / constants) ** 3, cutoff * strains
    beyond = EPSILON * 8 / 3 * np.pi * density * (edge**-9 / 3 - edge**-3)
    within = energies(LennardJones(cutoff=cutoff * SIGMA, truncation="none"), cells)
    constant, energy, modulus = fitted(constants, within + beyond)
    modulus *= SIGMA**3 / (EPSILON * GPA_PER_EV_PER_CUBIC_ANGSTROM)
    found = np.array([constant / SIGMA, energy / EPSILON, modulus])
    distance = (2 * a12 / a6) ** (1 / 6)
    expected = [np.sqrt(2) * distance, -(a6**2) / (2 * a12), 4 * a12 * (a6 / a12) ** 2.5]
    print(f"fcc, reduced lattice constant, energy, bulk modulus: {found}, by lattice sums {expected}")
    np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-4)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-3)


@pytest.mark.parametrize("pressure", [0.0, 0.5])
def test_triclinic_cells_relax_as_with_the_filter_of_ase(pressure):
    """Sheared and shaken supercells of argon, relaxed by both until they are done: steps, cell, atoms, energy."""
    cutoff, onset, fmax = 2.2 * SIGMA, 1.7 * SIGMA, 1e-3
    rng = np.random.default_rng(1)
    structures = []
    for repeats in ((2, 1, 1), (2, 2, 1)):
        cell = bulk("Ar", "fcc", a=1.6 * SIGMA).repeat(repeats)
        cell.set_cell(cell.cell @ (np.eye(3) + 0.05 * rng.normal(size=(3, 3))), scale_atoms=True)
        cell.rattle(0.1, rng=rng)
        structures.append(cell)

    done = ConvergenceHook([{"key": "fmax", "threshold": fmax}, {"key": "cell_force", "threshold": fmax}])
    potential = LennardJones(cutoff=cutoff, truncation="switch", onset=onset)
    relaxer = FIRE(potential, cell=FrechetCell(pressure=pressure), convergence_hook=done)
    relaxed = relaxer.run(Batch.from_data_list([from_ase(s) for s in structures]), 2000)
    assert relaxer.done

    make_filter = partial(FrechetCellFilter, scalar_pressure=pressure / GPA_PER_EV_PER_CUBIC_ANGSTROM)
    for structure, ours in zip(structures, relaxed.to_data_list(), strict=True):
        start = np.array(structure.cell)
        structure.calc = ASELennardJones(epsilon=EPSILON, sigma=SIGMA, rc=cutoff, ro=onset, smooth=True)
        with ASEFire(make_filter(structure), logfile=None) as optimizer:
            optimizer.run(fmax=fmax, steps=2000)
        inner_pressure = -np.trace(ours.stress) / 3 * GPA_PER_EV_PER_CUBIC_ANGSTROM
        print(
            f"{len(structure)} atoms, {pressure} GPa, {optimizer.nsteps} steps: energy {ours.energy:.9f} eV, by ASE "
            f"{structure.get_potential_energy():.9f} eV; pressure {inner_pressure:.4f} GPa"
        )
        np.testing.assert_allclose(ours.cell, structure.cell, rtol=0, atol=1e-6)
        np.testing.assert_allclose(ours.positions, structure.positions, rtol=0, atol=1e-6)
        assert ours.energy == pytest.approx(structure.get_potential_energy(), abs=1e-9)
        assert np.abs(ours.cell - start).max() > 0.2
