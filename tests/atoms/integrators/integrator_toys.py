"""Potentials of one line, batches made by hand, and a loop of init, pre_update, forces and post_update."""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from adiabat.atoms.batch import Batch
from adiabat.atoms.potentials.potential import Potential
from adiabat.engine import Clock

quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiles in half the time what runs once or twice."""


def batch_of(structures, *, n_slots=None, n_atoms=None, ids=None, seed=0, **fields):
    """Structures, mappings with positions (n, 3) and what is not as usual, in slots; the rest of the slots is empty.

    A structure None is an empty slot, an empty one has the system id -1.
    """
    n_slots = n_slots or len(structures)
    n_atoms = n_atoms or max(len(s["positions"]) for s in structures if s is not None)
    structures = [*structures, *[None] * (n_slots - len(structures))]
    ids = list(range(len(structures))) if ids is None else list(ids)
    ids = [-1 if s is None else i for s, i in zip(structures, [*ids, *[-1] * n_slots], strict=False)]

    def rows(name, per_atom, usual, dtype=np.float64):
        array = np.full((n_slots, *((n_atoms,) if per_atom else ()), *np.shape(usual)), usual, dtype)
        for slot, structure in enumerate(structures):
            if structure is not None and name in structure:
                place = (slot, slice(len(structure["positions"]))) if per_atom else slot
                array[place] = structure[name]
        return array

    structures = [None if s is None else {"numbers": np.full(len(s["positions"]), 18), **s} for s in structures]
    zeros = np.zeros(3)
    batch = Batch(
        positions=rows("positions", True, zeros),
        numbers=rows("numbers", True, 0, np.int32),
        masses=rows("masses", True, 1.0),
        velocities=rows("velocities", True, zeros),
        cell=rows("cell", False, np.zeros((3, 3))),
        pbc=rows("pbc", False, np.zeros(3, bool), bool),
        energy=np.zeros(n_slots),
        forces=rows("forces", True, zeros),
        stress=np.zeros((n_slots, 3, 3)),
        fixed=rows("fixed", True, False, bool),
        fixed_center=rows("fixed_center", False, False, bool),
        clock=Clock.start(seed, n_slots, 0, ids),
    )
    return jax.tree.map(jnp.asarray, batch.replace(**fields))


def program(dynamics, n_steps, record=lambda batch: ()):
    """What takes a batch to the batch after so many steps, and to what `record` saw at the end of each."""
    evaluate = dynamics.model.evaluate

    def step(batch, _):
        batch = dynamics.post_update(evaluate(dynamics.pre_update(batch)))
        seen = record(batch)
        clock = batch.clock
        return batch.replace(clock=clock.replace(age=clock.age + 1, stage_age=clock.stage_age + 1)), seen

    return quick_jit(lambda batch: jax.lax.scan(step, dynamics.init(evaluate(batch)), length=n_steps))


def run(dynamics, batch, n_steps, record=lambda batch: ()):
    """A program for one batch."""
    after, seen = program(dynamics, n_steps, record)(batch)
    return after, jax.tree.map(np.asarray, seen)


# --- potentials ----------------------------------------------------------------------------------------------


class OfEnergy(Potential):
    """``energy(positions, real, cell)`` of one system as a potential."""

    def __init__(self, energy):
        self.energy = energy

    def evaluate(self, batch):
        def strained(positions, strain, real, cell):
            deformation = jnp.eye(3) + 0.5 * (strain + strain.T)
            return self.energy(positions @ deformation, real, cell @ deformation)

        value_and_grad = jax.vmap(jax.value_and_grad(strained, argnums=(0, 1)), in_axes=(0, None, 0, 0))
        value, (slope, virial) = value_and_grad(batch.positions, jnp.zeros((3, 3)), batch.real, batch.cell)
        volume = batch.volume[:, None, None]
        stress = jnp.where(volume > 0, virial / jnp.where(volume > 0, volume, 1.0), 0.0)
        return batch.replace(energy=value, forces=-slope, stress=stress)


@OfEnergy
def free(positions, real, cell):
    return 0.0 * jnp.sum(positions)


@OfEnergy
def wells(positions, real, cell):
    """Each atom in a harmonic well of its own around the origin, 1 eV/angstrom**2."""
    return 0.5 * jnp.sum(jnp.where(real[:, None], positions, 0.0) ** 2)


@OfEnergy
def lennard_jones(positions, real, cell, depth=0.5, sigma=2.0):
    pairs = jnp.triu(real[:, None] & real[None], 1)
    r2 = jnp.sum((positions[:, None] - positions[None]) ** 2, axis=-1)
    s6 = (sigma**2 / jnp.where(pairs, r2, 1.0)) ** 3
    return jnp.sum(jnp.where(pairs, 4 * depth * (s6**2 - s6), 0.0))


@OfEnergy
def in_a_well(positions, real, cell):
    """A Lennard-Jones cluster in a flat well without symmetry, so that nothing but the energy is conserved."""
    return lennard_jones.energy(positions, real, cell) + 0.5 * jnp.sum(jnp.array([0.3, 0.5, 0.9]) * positions**2)


@OfEnergy
def morse_crystal(positions, real, cell):
    """Morse pairs between the atoms of a cell and those of its 27 nearest images."""
    shifts = jnp.asarray(np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T) @ cell
    difference = positions[:, None, None] - positions[None, :, None] + shifts
    pairs = real[:, None, None] & real[None, :, None] & (jnp.arange(27) != 13)
    pairs |= (real[:, None] & real[None] & ~jnp.eye(len(real), dtype=bool))[..., None]
    r = jnp.sqrt(jnp.where(pairs, jnp.sum(difference**2, axis=-1), 1.0))
    return 0.5 * jnp.sum(jnp.where(pairs, 0.4 * ((1 - jnp.exp(-1.4 * (r - 2.5))) ** 2 - 1), 0.0))


# --- structures ----------------------------------------------------------------------------------------------

TETRAHEDRON = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 2 ** (1 / 6) / np.sqrt(2)


def cluster(n, seed):
    """A random cluster, its atoms no closer than they ought to be."""
    rng, atoms = np.random.default_rng(seed), np.zeros((1, 3))
    while len(atoms) < n:
        candidate = rng.uniform(-2.5, 2.5, 3)
        if np.min(np.linalg.norm(atoms - candidate, axis=1)) > 1.7:
            atoms = np.vstack([atoms, candidate])
    return atoms


def crystal(n, seed, handed=1.0):
    """A distorted triclinic cell with atoms in it, left-handed for handed = -1."""
    rng = np.random.default_rng(seed)
    cell = np.array([[2.9 * handed, 0.2, -0.1], [0.7, 3.1, 0.3], [-0.4, 0.5, 3.3]]) + 0.1 * rng.normal(size=(3, 3))
    scaled = np.array([[0.1, 0.1, 0.1], [0.55, 0.65, 0.6], [0.1, 0.6, 0.5]])[:n] + 0.03 * rng.normal(size=(n, 3))
    return {"positions": scaled @ cell, "cell": cell, "pbc": np.ones(3, bool)}


# --- ASE -----------------------------------------------------------------------------------------------------


@cache
def _compiled(potential):
    return quick_jit(potential.evaluate)


class SamePotential(Calculator):
    """A potential of this file as an ASE calculator."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, potential):
        super().__init__()
        self.program = _compiled(potential)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        batch = batch_of([{"positions": atoms.positions, "cell": np.asarray(atoms.cell)}])
        batch = self.program(batch)
        self.results = {
            "energy": float(batch.energy[0]),
            "forces": np.asarray(batch.forces[0]),
            "stress": full_3x3_to_voigt_6_stress(np.asarray(batch.stress[0])),
        }


def ase_trajectory(optimizer, structure, potential, n_steps, *, constraint=None, cell_filter=None, **options):
    """Positions (n_steps, n, 3) and cells (n_steps, 3, 3) after each step of an ASE optimizer."""
    pbc = structure.get("pbc", False)
    atoms = Atoms("Ar" * len(structure["positions"]), structure["positions"], cell=structure.get("cell"), pbc=pbc)
    if "masses" in structure:
        atoms.set_masses(structure["masses"])
    atoms.calc = SamePotential(potential)
    if constraint is not None:
        atoms.set_constraint(constraint)
    moved = atoms if cell_filter is None else cell_filter(atoms)
    positions, cells = [], []
    with optimizer(moved, logfile=None, **options) as steps:
        for _ in range(n_steps):
            steps.step()
            positions.append(atoms.get_positions())
            cells.append(np.array(atoms.cell))
    return np.array(positions), np.array(cells)
