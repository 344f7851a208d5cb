"""Where electrons start: each nucleus gets its share, in shells, neighboring atoms with opposite spins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from adiabat.electrons.elements import unpaired_electrons
from adiabat.electrons.molecule import Molecule

SHELL_CAPACITIES = (2, 8, 8, 18, 18, 32, 32)
EFFECTIVE_QUANTUM_NUMBERS = (1.0, 2.0, 3.0, 3.7, 4.0, 4.2, 4.3)
ARRANGEMENTS = 64
"""Ways to place the spins that are drawn; walkers take them in turn."""


def starting_positions(
    molecule: Molecule, seed: int | Sequence[int], walkers: int
) -> Float[np.ndarray, "walkers electrons 3"]:
    """First positions of the electrons, (walkers, n, 3), bohr, float32, spin-up electrons first.

    Every atom is neutral but for the charge, which is spread one by one from the heaviest atom down. An atom
    has as many unpaired electrons as when free, those of neighboring atoms point opposite ways, and
    electrons are flipped where the total spin needs it; all of this with atoms of equal rank in random order,
    so that the walkers together have the symmetry of the molecule. The distance from the nucleus follows
    Slater's shell densities (Slater, Phys. Rev. 36, 57, 1930), the direction is uniform.

    Args:
        seed: of NumPy's generator, one number or several (`jax.random.key_data(key).tolist()` for a key of
            JAX); equal seeds give equal positions.
    """
    rng = np.random.default_rng(seed)
    positions = np.empty((walkers, molecule.n_electrons, 3))
    arrangements = min(ARRANGEMENTS, walkers)
    for index in range(arrangements):
        rows = slice(index, walkers, arrangements)
        up, down = arrange_spins(molecule, rng)
        atoms, shape, scale = _shells(molecule.numbers, up, down)
        count = len(range(*rows.indices(walkers)))
        radius = rng.gamma(shape, scale, size=(count, len(atoms)))
        direction = rng.normal(size=(count, len(atoms), 3))
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        positions[rows] = molecule.positions[atoms] + radius[..., None] * direction
    return positions.astype(np.float32)


def arrange_spins(
    molecule: Molecule, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " atoms"], Int[np.ndarray, " atoms"]]:
    """How many spin-up and spin-down electrons each atom starts with: `n_up` and `n_down` in all."""
    electrons = _electrons_per_atom(molecule, rng)
    unpaired = [_unpaired(int(number), int(count)) for number, count in zip(molecule.numbers, electrons, strict=True)]
    excess = np.zeros(molecule.n_atoms, dtype=np.int64)  # spin up minus spin down
    placed: list[int] = []
    for atom in rng.permutation(molecule.n_atoms):
        nearest = min(placed, key=lambda other: molecule.distances[atom, other], default=None)
        sign = rng.choice([-1, 1]) if nearest is None or excess[nearest] == 0 else -np.sign(excess[nearest])
        excess[atom] = sign * unpaired[atom]
        placed.append(atom)
    while excess.sum() != molecule.spin:
        sign = 1 if excess.sum() < molecule.spin else -1
        # Flip an electron where most point the wrong way; every atom can give as many as it has.
        able = np.where((electrons - sign * excess) > 0, -sign * excess, -np.inf)
        best = np.flatnonzero(able == able.max())
        excess[rng.choice(best)] += 2 * sign
    return (electrons + excess) // 2, (electrons - excess) // 2


def _electrons_per_atom(molecule: Molecule, rng: np.random.Generator) -> Int[np.ndarray, " atoms"]:
    electrons = molecule.numbers.copy()
    order = rng.permutation(molecule.n_atoms)
    heaviest_first = order[np.argsort(-molecule.numbers[order], kind="stable")]
    change, left, turn = -int(np.sign(molecule.charge)), abs(molecule.charge), 0
    while left:
        atom = heaviest_first[turn % molecule.n_atoms]
        if electrons[atom] + change >= 0:
            electrons[atom] += change
            left -= 1
        turn += 1
    return electrons


def _unpaired(number: int, n_electrons: int) -> int:
    known = unpaired_electrons(number, number - n_electrons) if n_electrons else 0
    return n_electrons % 2 if known is None else known


def _shells(
    numbers: np.ndarray, up: np.ndarray, down: np.ndarray
) -> tuple[Int[np.ndarray, " electrons"], Float[np.ndarray, " electrons"], Float[np.ndarray, " electrons"]]:
    """Nucleus of each electron (spin up first), and the gamma distribution of its distance from it.

    A Slater orbital r^(n-1) exp(-zeta r) has the radial density r^(2n) exp(-2 zeta r): shape 2n + 1, scale
    1/(2 zeta).
    """
    per_spin = []
    for spin in (up, down):
        filled = [(atom, shell) for atom, count in enumerate(spin) for shell in _fill(int(count))]
        per_spin.append(np.array(filled, dtype=np.int64).reshape(-1, 2))
    atoms, shells = np.concatenate(per_spin).T
    occupation = np.zeros((len(numbers), len(SHELL_CAPACITIES)))
    np.add.at(occupation, (atoms, shells), 1)
    # Slater's screening with whole shells: 0.35 by electrons of the same shell, 0.85 of the one below, 1 of
    # deeper ones.
    below = np.pad(occupation, ((0, 0), (2, 0)))[:, :-2].cumsum(axis=1)
    next_below = np.pad(occupation, ((0, 0), (1, 0)))[:, :-1]
    screening = 0.35 * np.maximum(occupation - 1, 0) + 0.85 * next_below + below
    quantum_numbers = np.array(EFFECTIVE_QUANTUM_NUMBERS)
    exponents = np.maximum(numbers[:, None] - screening, 0.5) / quantum_numbers
    return atoms, 2 * quantum_numbers[shells] + 1, 1 / (2 * exponents[atoms, shells])


def _fill(count: int) -> list[int]:
    """Shells of the `count` electrons of one spin on an atom, from the inside."""
    places = [shell for shell, capacity in enumerate(SHELL_CAPACITIES) for _ in range(capacity // 2)]
    return places[:count] + [len(SHELL_CAPACITIES) - 1] * max(0, count - len(places))
