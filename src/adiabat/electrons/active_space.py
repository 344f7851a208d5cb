"""An active space: a few orbitals in which the electrons are correlated exactly, above a frozen core."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from jaxtyping import Float

from adiabat.electrons.hartree_fock import HartreeFock, scf_solver
from adiabat.electrons.natural_orbitals import natural_orbitals, orientation, runs_of_equals, strength

LARGEST_SPACE = 10
MOST_DETERMINANTS = 70_000
SAME_LEVEL = 1e-5
"""States this close in energy (hartree) are components of one degenerate level."""


@dataclass(frozen=True, eq=False)
class ActiveSpace:
    """A wavefunction that is exact in its active orbitals.

    Args:
        orbitals: molecular orbitals, (orbitals, core + active), core first, then active by falling
            occupation.
        occupations: electrons in each of them, (core + active,).
        n_core: number of doubly occupied orbitals.
        n_active: number of active orbitals.
        n_up: active electrons with spin up.
        n_down: active electrons with spin down.
        vector: coefficients of the determinants, (strings up, strings down) in PySCF's order of strings.
        energy: hartree, nuclear repulsion included.
    """

    orbitals: Float[np.ndarray, "orbitals molecular"]
    occupations: Float[np.ndarray, " molecular"]
    n_core: int
    n_active: int
    n_up: int
    n_down: int
    vector: Float[np.ndarray, "up down"]
    energy: float


def solve_active_space(hf: HartreeFock, mol: Any) -> ActiveSpace | None:
    """The lowest state of the molecule's spin in the active space that correlation chooses.

    The space holds the orbitals whose natural occupations differ most from full and empty (see
    `natural_orbitals`), in whole degenerate sets, at most ten. The result is given in its own natural
    orbitals, where its expansion is shortest. None where nothing can be excited.
    """
    from pyscf import fci, mcscf

    orbitals, occupations = natural_orbitals(hf, mol)
    core, active = choose_active(occupations, hf.molecule.n_up, hf.molecule.n_down)
    n_up, n_down = hf.molecule.n_up - len(core), hf.molecule.n_down - len(core)
    if n_up == len(active):
        return None
    complete = mcscf.CASCI(scf_solver(mol, "RHF"), len(active), (n_up, n_down), ncore=len(core))
    chosen = np.ascontiguousarray(orbitals[:, np.concatenate([core, active])])
    one_electron, core_energy = complete.get_h1eff(chosen)
    energy, vector = _ground_state(one_electron, complete.get_h2eff(chosen), n_up, n_down, float(core_energy))

    density = fci.direct_spin1.make_rdm1(vector, len(active), (n_up, n_down))
    held, rotation = (array[..., ::-1] for array in np.linalg.eigh(density))
    rotation = rotation @ orientation(mol, chosen[:, len(core) :] @ rotation, held)
    return ActiveSpace(
        orbitals=np.hstack([chosen[:, : len(core)], chosen[:, len(core) :] @ rotation]),
        occupations=np.concatenate([np.full(len(core), 2.0), held]),
        n_core=len(core),
        n_active=len(active),
        n_up=n_up,
        n_down=n_down,
        vector=np.asarray(fci.addons.transform_ci(vector, (n_up, n_down), rotation)),
        energy=energy,
    )


def choose_active(
    occupations: Float[np.ndarray, " molecular"], n_up: int, n_down: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the core and of the active orbitals, among natural orbitals in order of falling occupation.

    Active are the `LARGEST_SPACE` orbitals with the strongest correlation, and always the singly occupied
    ones, less those whose degenerate set would be cut and those that would make the space larger than
    `MOST_DETERMINANTS`.
    """
    strengths = strength(occupations)
    single = np.arange(n_down, n_up)
    strengths[single] = 2.0 + np.arange(len(single))[::-1]  # above all others, each a set of its own
    order = np.argsort(-strengths, kind="stable")
    ends = [members.stop for members in runs_of_equals(strengths[order], strengths[order])]
    for size in sorted((end for end in ends if len(single) <= end <= LARGEST_SPACE), reverse=True):
        active = np.sort(order[:size])
        core = np.setdiff1d(np.arange(n_down), active)
        determinants = comb(size, n_up - len(core)) * comb(size, n_down - len(core))
        if determinants <= MOST_DETERMINANTS:
            return core, active
    return np.arange(n_down), single


def _ground_state(
    one_electron: np.ndarray, two_electron: np.ndarray, n_up: int, n_down: int, core_energy: float
) -> tuple[float, np.ndarray]:
    """Energy and vector of the lowest state with S = S_z.

    Of a degenerate level it is the component nearest the leading determinant. Any mixture of the components
    has the same energy, but spreads over many determinants, and which one is returned is chance.
    """
    from pyscf import fci

    size = one_electron.shape[0]
    n_determinants = comb(size, n_up) * comb(size, n_down)
    spin = (n_up - n_down) / 2
    solver = fci.addons.fix_spin(fci.direct_spin1.FCISolver(), shift=0.2, ss=spin * (spin + 1))
    solver.verbose, solver.conv_tol, solver.nroots = 0, 1e-10, min(3, n_determinants)
    energies, vectors = solver.kernel(one_electron, two_electron, size, (n_up, n_down), ecore=core_energy)
    energies, vectors = (
        np.atleast_1d(energies),
        np.reshape(vectors, (-1, comb(size, n_up), comb(size, n_down))),
    )
    level = vectors[energies - energies[0] < SAME_LEVEL]
    nearest = np.einsum("k,kud->ud", level[:, 0, 0], level)
    norm = np.linalg.norm(nearest)
    return float(energies[0]), nearest / norm if norm > 1e-3 else level[0]
