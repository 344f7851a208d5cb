"""A molecule: nuclei at fixed positions, and how many electrons of each spin move between them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from adiabat.electrons.elements import SYMBOLS, atomic_number
from adiabat.errors import InputError

CLOSEST_NUCLEI = 0.1
"""Two nuclei nearer than this (bohr) are taken for a mistake in the input."""


@dataclass(frozen=True, eq=False)
class Molecule:
    """Nuclei and electrons, checked: a `Molecule` that exists is one that can be computed.

    Two molecules are equal when their physics is: elements, positions, charge and spin. `name` and `source`
    do not count.

    Args:
        symbols: chemical symbols, one per nucleus.
        positions: of the nuclei, (A, 3), bohr; kept as a read-only float64 array.
        charge: of the whole molecule, in units of the proton's.
        spin: 2S, the number of unpaired electrons.
        name: short name, used for folders and headings.
        source: one sentence for the log: what it is and where the geometry and the spin come from.

    Raises:
        InputError: no atoms, an unknown element, a coordinate that is not finite, two nuclei closer than 0.1
            bohr, no electrons left by the charge, or a spin that does not fit the number of electrons.
    """

    symbols: tuple[str, ...]
    positions: Float[np.ndarray, "atoms 3"]
    charge: int = 0
    spin: int = 0
    name: str = ""
    source: str = ""
    numbers: Int[np.ndarray, " atoms"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        symbols = tuple(self.symbols)
        positions = np.array(self.positions, dtype=np.float64) + 0.0  # -0.0 becomes 0.0: equal molecules hash alike
        _check_nuclei(symbols, positions)
        numbers = np.array([atomic_number(symbol) for symbol in symbols], dtype=np.int64)
        _check_electrons(int(numbers.sum()), self.charge, self.spin)
        for array in (positions, numbers):
            array.setflags(write=False)
        # The dataclass is frozen; this is the one place where its arrays take their final form.
        object.__setattr__(self, "symbols", symbols)
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "numbers", numbers)

    @property
    def n_atoms(self) -> int:
        return len(self.symbols)

    @property
    def n_electrons(self) -> int:
        return int(self.numbers.sum()) - self.charge

    @property
    def n_up(self) -> int:
        return (self.n_electrons + self.spin) // 2

    @property
    def n_down(self) -> int:
        return (self.n_electrons - self.spin) // 2

    @property
    def formula(self) -> str:
        """Sum formula with the elements in the order they appear: 'CH4'."""
        return sum_formula(self.symbols)

    @property
    def distances(self) -> Float[np.ndarray, "atoms atoms"]:
        """Distances between the nuclei, bohr."""
        return np.linalg.norm(self.positions[:, None] - self.positions[None, :], axis=-1)

    @property
    def nuclear_repulsion(self) -> float:
        """Coulomb energy of the nuclei among themselves, hartree."""
        first, second = np.triu_indices(self.n_atoms, k=1)
        return float(np.sum(self.numbers[first] * self.numbers[second] / self.distances[first, second]))

    def _identity(self) -> tuple[object, ...]:
        return self.symbols, self.positions.tobytes(), self.charge, self.spin

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Molecule) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())


def sum_formula(symbols: Sequence[str]) -> str:
    """The elements in the order they appear, with their numbers: 'CH4'."""
    counts = Counter(symbols)
    return "".join(symbol + (str(count) if count > 1 else "") for symbol, count in counts.items())


def _check_electrons(total_nuclear_charge: int, charge: int, spin: int) -> None:
    n_electrons = total_nuclear_charge - charge
    if n_electrons < 1:
        raise InputError(
            f"charge {charge} leaves no electrons: the nuclei carry {total_nuclear_charge}, so it can be "
            f"at most {total_nuclear_charge - 1}"
        )
    if spin < 0 or spin > n_electrons or (n_electrons - spin) % 2:
        n_listed = 4
        fitting = range(n_electrons % 2, n_electrons + 1, 2)
        listed = ", ".join(str(value) for value in fitting[:n_listed]) + (", ..." if len(fitting) > n_listed else "")
        raise InputError(
            f"spin {spin} (2S, the number of unpaired electrons) does not fit {n_electrons} "
            f"electron{'s' if n_electrons > 1 else ''}: it can be {listed}"
        )


def _check_nuclei(symbols: Sequence[str], positions: np.ndarray) -> None:
    if not symbols:
        raise InputError("the molecule has no atoms: give at least one, such as 'H 0 0 0'")
    for symbol in symbols:
        if symbol not in SYMBOLS:
            raise InputError(f"unknown element '{symbol}': expected a chemical symbol such as 'H' or 'Li'")
    if positions.shape != (len(symbols), 3):
        raise InputError(
            f"positions of shape {positions.shape} given for {len(symbols)} atoms: expected ({len(symbols)}, 3)"
        )
    for index, position in enumerate(positions):
        if not np.all(np.isfinite(position)):
            raise InputError(
                f"atom {index + 1} ({symbols[index]}) is at {_written(position)}: coordinates must be finite numbers"
            )
    for first in range(len(symbols)):
        for second in range(first + 1, len(symbols)):
            distance = math.dist(positions[first], positions[second])
            if distance < CLOSEST_NUCLEI:
                raise InputError(
                    f"atoms {first + 1} ({symbols[first]}) and {second + 1} ({symbols[second]}) are "
                    f"{distance:.3g} bohr apart: expected at least {CLOSEST_NUCLEI} bohr; check the "
                    "coordinates and their unit"
                )


def _written(position: np.ndarray) -> str:
    return "(" + ", ".join(f"{coordinate:g}" for coordinate in position) + ")"
