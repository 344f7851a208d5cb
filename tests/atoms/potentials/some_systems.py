"""Systems of every kind of periodicity in one batch, and references for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from building import batch_of

from adiabat.atoms.batch import Batch
from adiabat.atoms.potentials import Potential

A = 5.3  # lattice constant of argon, angstrom
FCC = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def rattled(positions: np.ndarray, seed: int, by: float = 0.15) -> np.ndarray:
    return positions + by * np.random.default_rng(seed).uniform(-1, 1, positions.shape)


def fcc(n: tuple[int, int, int], seed: int, deformation: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Positions and cell of cubic cells side by side, rattled and deformed."""
    corners = np.stack(np.meshgrid(*map(np.arange, n), indexing="ij"), -1).reshape(-1, 1, 3)
    positions = rattled((corners + FCC).reshape(-1, 3) * A, seed)
    deform = np.eye(3) if deformation is None else deformation
    return positions @ deform, np.diag(n) * A @ deform


SHEAR = np.array([[1.0, 0.0, 0.0], [0.25, 1.02, 0.0], [-0.2, 0.3, 0.97]])


def every_kind(numbers: Any = None) -> Batch:
    """A cluster, a crystal, a triclinic one, a primitive cell, a slab, a left-handed cell, an empty slot, a wire."""
    cluster = rattled((FCC[:, None] + FCC).reshape(-1, 3)[[0, 1, 2, 3, 5, 6, 7]] * A, 0)
    crystal, cube = fcc((1, 1, 2), 1)
    sheared, triclinic = fcc((2, 1, 1), 2, SHEAR)
    primitive = A / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.1]])
    small = np.array([[0.1, 0.2, -0.3]])
    slab, cubic = fcc((1, 1, 1), 3)
    hanging, left = fcc((1, 1, 1), 4, SHEAR[::-1])
    wire = rattled(np.array([[0.0, 0, 0], [3.7, 0.4, 0]]), 5)
    positions = [cluster, crystal + 37.0, sheared, small, slab, hanging, None, wire]
    cells = [None, cube, triclinic, primitive, cubic, left, None, np.diag([7.5, 0, 0])]
    pbc = [False, True, True, True, (True, True, False), True, False, (True, False, False)]
    kinds = None
    if numbers is not None:
        kinds = [18 if p is None else np.resize(numbers, len(p)) for p in positions]
    return batch_of(positions, cells, pbc, numbers=kinds)


def evaluated(potential: Potential, batch: Batch) -> Batch:
    """What an engine does: check, prepare, evaluate in a compiled program, again where there is too little room."""
    potential.check(batch)
    start = potential.prepare(batch)
    for _ in range(3):
        result = jax.jit(potential.evaluate)(start)
        if not np.any(potential.outgrown(result)):
            return result
        start = potential.grow(start, result)
    raise AssertionError("there is never enough room")


def atoms_of(batch: Batch, slot: int) -> Atoms:
    there = np.asarray(batch.numbers[slot]) > 0
    return Atoms(
        numbers=np.asarray(batch.numbers[slot])[there],
        positions=np.asarray(batch.positions[slot])[there],
        cell=np.asarray(batch.cell[slot]),
        pbc=np.asarray(batch.pbc[slot]),
    )


def compare_with_ase(result: Batch, calculator: Callable[[], Any], tolerance: float = 1e-10) -> None:
    """Every system against a calculator of ASE: energies, forces, and stresses where ASE has one."""
    for slot in range(result.n_systems):
        atoms = atoms_of(result, slot)
        n = len(atoms)
        if not n:
            continue
        atoms.calc = calculator()
        assert abs(atoms.get_potential_energy()) > 1e-3  # something is compared
        np.testing.assert_allclose(result.energy[slot], atoms.get_potential_energy(), rtol=tolerance)
        np.testing.assert_allclose(result.forces[slot, :n], atoms.get_forces(), atol=tolerance)
        stress = atoms.get_stress(voigt=False) if atoms.cell.rank == 3 else np.zeros((3, 3))
        np.testing.assert_allclose(result.stress[slot], stress, atol=tolerance)


def strained(batch: Batch, strain: Any) -> Batch:
    deformation = jnp.eye(3) + jnp.asarray(strain)
    return batch.replace(positions=batch.positions @ deformation, cell=batch.cell @ deformation)


def check_derivatives(potential: Potential, batch: Batch) -> None:
    """Forces and stresses against finite differences of the energy (fourth order) along random directions."""
    result = evaluated(potential, batch)
    energies = jax.jit(lambda b: potential.evaluate(b).energy)
    prepared = potential.prepare(batch)
    rng = np.random.default_rng(7)
    real = np.asarray(batch.real)[..., None]

    def slope(moved: Callable[[float], Batch]) -> np.ndarray:
        h = 2e-4
        at = {k: np.asarray(energies(moved(k * h))) for k in (-2, -1, 1, 2)}
        return (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)

    for _ in range(2):
        along = np.where(real, rng.normal(size=batch.positions.shape), 0.0)
        work = -slope(lambda t, along=along: prepared.replace(positions=prepared.positions + t * along))
        expected = np.sum(np.asarray(result.forces) * along, axis=(1, 2))
        np.testing.assert_allclose(work, expected, rtol=1e-7, atol=1e-9)
    if "stress" not in potential.gives:
        return
    for _ in range(2):
        strain = rng.normal(size=(3, 3))
        strain = 0.3 * (strain + strain.T)
        change = slope(lambda t, strain=strain: strained(prepared, t * strain))
        expected = np.sum(np.asarray(result.stress) * strain, axis=(1, 2)) * np.asarray(batch.volume)
        has_volume = np.asarray(batch.volume) > 0
        np.testing.assert_allclose(change[has_volume], expected[has_volume], rtol=1e-7, atol=1e-9)
