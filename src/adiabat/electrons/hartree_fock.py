"""Hartree-Fock by PySCF: the energy every run is compared with, and the orbitals every run starts from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from adiabat.electrons.gaussian_orbitals import GaussianBasis, GaussianShells
from adiabat.electrons.molecule import Molecule
from adiabat.electrons.slater_determinant import OccupiedOrbitals
from adiabat.errors import InputError

Method = Literal["RHF", "UHF", "ROHF"]

ENERGY_TOLERANCE = 1e-10
SECOND_ORDER_STEPS = 100
STABILITY_ROUNDS = 3
LARGEST_FOR_STABILITY = 200
"""With more atomic orbitals the stability analysis would cost more than the calculation it checks."""


@dataclass(frozen=True, eq=False)
class HartreeFock:
    """A converged Hartree-Fock calculation. All arrays are float64 NumPy arrays, the energies in hartree.

    Args:
        molecule: what was computed.
        basis_name: such as 'cc-pvdz'.
        basis: the atomic orbitals, ready for JAX.
        method: 'RHF', 'UHF' or 'ROHF'.
        energy: total energy, nuclear repulsion included.
        coefficients_up: of all molecular orbitals, (orbitals, orbitals), occupied ones first.
        coefficients_down: the same for spin down; the same array for RHF and ROHF.
        orbital_energies_up: (orbitals,).
        orbital_energies_down: (orbitals,).
        converged: whether the energy and the orbital gradient met their thresholds.
        notes: sentences for the log: a second-order fallback, an instability that was followed, or one that
            remains.
    """

    molecule: Molecule
    basis_name: str
    basis: GaussianBasis
    method: Method
    energy: float
    coefficients_up: Float[np.ndarray, "orbitals molecular"]
    coefficients_down: Float[np.ndarray, "orbitals molecular"]
    orbital_energies_up: Float[np.ndarray, " molecular"]
    orbital_energies_down: Float[np.ndarray, " molecular"]
    converged: bool
    notes: tuple[str, ...] = ()

    @property
    def n_orbitals(self) -> int:
        """Number of atomic orbitals."""
        return self.basis.n_orbitals

    @property
    def occupied(self) -> OccupiedOrbitals:
        """The occupied orbitals of both spins, for `molecular_orbitals` and `log_slater_determinant`."""
        up = self.coefficients_up[:, : self.molecule.n_up]
        down = self.coefficients_down[:, : self.molecule.n_down]
        return OccupiedOrbitals(self.basis, up, down)

    def as_pyscf(self, mol: Any) -> Any:
        """A PySCF solver that already holds this solution, for the methods that build on it; ROHF as UHF.

        Args:
            mol: `pyscf_molecule(self.molecule, self.basis_name)`.
        """
        solver = scf_solver(mol, "RHF" if self.method == "RHF" else "UHF")
        up, down = (np.arange(self.n_orbitals) < n for n in (self.molecule.n_up, self.molecule.n_down))
        if self.method != "RHF":
            solver.mo_coeff = np.stack([self.coefficients_up, self.coefficients_down])
            solver.mo_energy = np.stack([self.orbital_energies_up, self.orbital_energies_down])
            solver.mo_occ = np.stack([up, down]).astype(float)
        else:
            solver.mo_coeff, solver.mo_energy = self.coefficients_up, self.orbital_energies_up
            solver.mo_occ = up.astype(float) + down
        solver.e_tot, solver.converged = self.energy, self.converged
        return solver


def hartree_fock(molecule: Molecule, basis: str = "cc-pvdz", *, restricted_open_shell: bool = False) -> HartreeFock:
    """Solve the Hartree-Fock equations: RHF for closed shells, else UHF, or ROHF where asked for.

    Where the usual iteration does not converge, a second-order solver takes over; a solution that is unstable
    against rotations of its own kind is followed downhill. The result is deterministic and nothing is
    printed.

    Args:
        molecule: nuclei, charge and spin.
        basis: name of a Gaussian basis set that PySCF knows.
        restricted_open_shell: both spins share their orbitals (ROHF) where the shell is open.

    Raises:
        InputError: an unknown basis, one that lacks an element, or one too small for the electrons.
    """
    mol = pyscf_molecule(molecule, basis)
    method: Method = "RHF" if molecule.spin == 0 else "ROHF" if restricted_open_shell else "UHF"
    with quiet_and_reproducible():
        solver, notes = _solve(scf_solver(mol, method))
    (up, energies_up), (down, energies_down) = _occupied_first(solver)
    return HartreeFock(
        molecule=molecule,
        basis_name=basis,
        basis=gaussian_basis(mol),
        method=method,
        energy=float(solver.e_tot),
        coefficients_up=up,
        coefficients_down=down,
        orbital_energies_up=energies_up,
        orbital_energies_down=energies_down,
        converged=bool(solver.converged),
        notes=tuple(notes),
    )


@contextmanager
def quiet_and_reproducible() -> Iterator[None]:
    """PySCF without warnings and on one thread: with several, the last bits of a sum depend on which came first, and a
    run that starts from the result could not be repeated."""
    from pyscf import lib

    with warnings.catch_warnings(), lib.with_omp_threads(1):
        warnings.simplefilter("ignore")
        yield


def pyscf_molecule(molecule: Molecule, basis: str) -> Any:
    """The molecule as a PySCF `Mole` with a Gaussian basis; `InputError` where the basis does not serve."""
    from pyscf import gto

    atoms = list(zip(molecule.symbols, molecule.positions.tolist(), strict=True))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mol = gto.M(
                atom=atoms,
                unit="bohr",
                basis=basis,
                charge=molecule.charge,
                spin=molecule.spin,
                cart=False,
                verbose=0,
            )
    # What PySCF raises depends on how the name fails.
    except (KeyError, RuntimeError, OSError, AssertionError) as error:
        elements = ", ".join(sorted(set(molecule.symbols)))
        raise InputError(
            f"basis '{basis}' is unknown to PySCF or lacks one of the elements {elements}: choose another, "
            "such as 'cc-pvdz' or 'def2-svp'"
        ) from error
    if mol.nao < molecule.n_up:
        raise InputError(
            f"basis '{basis}' has {mol.nao} orbitals, too few for the {molecule.n_up} electrons of spin up: "
            "choose a larger one, such as 'cc-pvdz'"
        )
    return mol


def gaussian_basis(mol: Any) -> GaussianBasis:
    """The atomic orbitals of a PySCF molecule as arrays for JAX."""
    from pyscf import gto

    starts = mol.ao_loc_nr()
    found: dict[int, list[tuple[int, int, np.ndarray, np.ndarray]]] = {}
    for shell in range(mol.nbas):
        degree = int(mol.bas_angular(shell))
        exponents = mol.bas_exp(shell)
        contractions = mol.bas_ctr_coeff(shell) * gto.gto_norm(degree, exponents)[:, None]
        for index, coefficients in enumerate(contractions.T):  # general contractions share their exponents
            column = int(starts[shell]) + index * (2 * degree + 1)
            found.setdefault(degree, []).append((int(mol.bas_atom(shell)), column, exponents, coefficients))
    groups = []
    for degree, shells in sorted(found.items()):
        atoms, columns, exponents, coefficients = zip(*shells, strict=True)
        groups.append(GaussianShells(_padded(exponents), _padded(coefficients), degree, tuple(atoms), tuple(columns)))
    return GaussianBasis(mol.atom_coords(), tuple(groups))


def _padded(rows: tuple[np.ndarray, ...]) -> np.ndarray:
    table = np.zeros((len(rows), max(len(row) for row in rows)))
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table


def scf_solver(mol: Any, method: Method) -> Any:
    """PySCF's solver for this method, tightly converged, keeping no file on disk."""
    from pyscf import scf

    solver = {"RHF": scf.hf.RHF, "UHF": scf.uhf.UHF, "ROHF": scf.rohf.ROHF}[method](mol)
    temporary = getattr(solver, "_chkfile", None)  # PySCF opens a file for every solver
    if temporary is not None:
        temporary.close()
    solver.conv_tol, solver.chkfile = ENERGY_TOLERANCE, None
    return solver


def _solve(solver: Any) -> tuple[Any, list[str]]:
    """Converge, by second order if need be, and leave solutions that are not minima."""
    notes: list[str] = []
    solver.kernel()
    if not solver.converged:
        solver = _second_order(solver, solver.mo_coeff)
        outcome = "converged by the second-order solver" if solver.converged else "did not converge"
        notes.append(f"Hartree-Fock {outcome}, after the usual iteration failed")
    rotations = sum(n * (solver.mol.nao - n) for n in solver.mol.nelec)  # occupied with virtual orbitals
    if solver.mol.nelectron == 1 or rotations == 0 or solver.mol.nao > LARGEST_FOR_STABILITY:
        return solver, notes
    for _ in range(STABILITY_ROUNDS):
        orbitals, _, stable, _ = solver.stability(internal=True, external=False, return_status=True)
        if stable:
            return solver, notes
        before = solver.e_tot
        solver = _second_order(solver, orbitals)
        notes.append(
            f"Hartree-Fock was unstable: following the instability lowered it by {before - solver.e_tot:.2g} hartree"
        )
    notes.append(f"Hartree-Fock is still unstable after {STABILITY_ROUNDS} rounds")
    return solver, notes


def _second_order(solver: Any, orbitals: Any) -> Any:
    improved = solver.newton()
    improved.conv_tol, improved.max_cycle = ENERGY_TOLERANCE, SECOND_ORDER_STEPS
    improved.kernel(orbitals, solver.mo_occ)
    return improved


def _occupied_first(solver: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Coefficients and energies for each spin, by occupation and then by energy.

    An occupied level may lie above an empty one, so energy alone does not tell which are occupied.
    """
    coefficients, occupations = np.asarray(solver.mo_coeff), np.asarray(solver.mo_occ)
    energies = np.asarray(solver.mo_energy)
    spins = range(2) if coefficients.ndim == 3 else (slice(None), slice(None))
    result = []
    for spin in spins:
        order = np.lexsort((energies[spin], -occupations[spin]))
        result.append((np.ascontiguousarray(coefficients[spin][:, order]), energies[spin][order]))
    return result
