"""Energies to compare with, where the geometry is a known one: exact or best known, and Hartree-Fock.

Hartree-Fock is in a complete basis. All are non-relativistic, infinite nuclear mass, hartree.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from adiabat.electrons.known_molecules import known_molecule
from adiabat.electrons.molecule import Molecule

SAME_DISTANCE = 1e-6
"""Geometries agree when all distances between nuclei do to this many bohr."""

_CHAKRAVORTY = "Chakravorty et al., PRA 47, 3649 (1993)"
_PACHUCKI = "Pachucki, PRA 82, 032509 (2010)"
_PFAU = "Pfau et al., PRR 2, 033429 (2020)"


@dataclass(frozen=True)
class ReferenceEnergy:
    """What is known of a molecule's ground-state energy, hartree.

    Args:
        exact: exact to the digits given, or the best estimate.
        hartree_fock: at the basis-set limit, None where not tabulated.
        is_floor: whether `exact` bounds variational energies from below; an estimate may lie above the truth.
        source: where `exact` was published.
    """

    exact: float
    hartree_fock: float | None
    is_floor: bool
    source: str


# Name: exact, Hartree-Fock, whether it is a floor, source. The spin is that of the ground state.
_TABLE: dict[str, tuple[float, float, bool, str]] = {
    "He": (-2.903724377034, -2.86168, True, "Schwartz, Int. J. Mod. Phys. E 15, 877 (2006)"),
    "Li": (-7.47806032, -7.43275, True, "Puchalski and Pachucki, PRA 73, 022503 (2006)"),
    "Be": (-14.66736, -14.57301, True, _CHAKRAVORTY),
    "N": (-54.5892, -54.40470, True, _CHAKRAVORTY),
    "LiH": (-8.070548, -7.98737, True, "Cencek and Rychlewski, Chem. Phys. Lett. 320, 549 (2000)"),
    "N2": (-109.5423, -108.9940, False, _PFAU),
    "NH3": (-56.5644, -56.2247, False, _PFAU),
    "CH4": (-40.515, -40.2171, False, _PFAU),
}
_SPINS = {"Li": 1, "N": 3}

_H2_CURVE = {
    1.0: -1.124539719,
    1.2: -1.164935243,
    1.4: -1.174475714,
    1.6: -1.168583373,
    2.0: -1.138132957,
    3.0: -1.057326269,
    4.0: -1.016390253,
}
_H2_HARTREE_FOCK = {1.4: -1.13362}


def reference_energy(molecule: Molecule) -> ReferenceEnergy | None:
    """The tabulated energy of this molecule at its geometry, charge and spin; None where unknown."""
    if molecule.n_atoms == 1 and molecule.n_electrons == 1:
        exact = -0.5 * float(molecule.numbers[0]) ** 2
        return ReferenceEnergy(exact, exact, True, "closed form, -Z^2/2")
    if molecule.charge != 0:
        return None
    if molecule.symbols == ("H", "H") and molecule.spin == 0:
        return _hydrogen_molecule(float(molecule.distances[0, 1]))
    for name, (exact, hartree_fock, is_floor, source) in _TABLE.items():
        if molecule.spin == _SPINS.get(name, 0) and _same_geometry(molecule, name):
            return ReferenceEnergy(exact, hartree_fock, is_floor, source)
    return None


def _hydrogen_molecule(distance: float) -> ReferenceEnergy | None:
    for tabulated, exact in _H2_CURVE.items():
        if abs(distance - tabulated) < SAME_DISTANCE:
            return ReferenceEnergy(exact, _H2_HARTREE_FOCK.get(tabulated), True, _PACHUCKI)
    return None


def _same_geometry(molecule: Molecule, name: str) -> bool:
    known = known_molecule(name)
    if known is None or sorted(known.symbols) != sorted(molecule.symbols):
        return False
    ours, theirs = _pairs(molecule.symbols, molecule.positions), _pairs(known.symbols, known.positions)
    return all(
        pair == other and abs(distance - known_distance) < SAME_DISTANCE
        for (*pair, distance), (*other, known_distance) in zip(ours, theirs, strict=True)
    )


def _pairs(symbols: tuple[str, ...], positions: np.ndarray) -> list[tuple[str, str, float]]:
    """All pairs of nuclei with their distance, sorted: the same for a turned or renumbered molecule."""
    pairs = []
    for i, j in combinations(range(len(symbols)), 2):
        first, second = sorted((symbols[i], symbols[j]))
        pairs.append((first, second, float(np.linalg.norm(positions[i] - positions[j]))))
    return sorted(pairs)
