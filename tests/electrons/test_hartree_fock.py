"""Hartree-Fock: right, converged, stable, repeatable, silent."""

import importlib

import numpy as np
import pytest

from adiabat.electrons.hartree_fock import hartree_fock, pyscf_molecule
from adiabat.electrons.molecule_input import molecule_from
from adiabat.electrons.reference_energies import reference_energy
from adiabat.errors import InputError


@pytest.mark.parametrize("name", ["H", "He", "Li", "Be", "N", "H2", "LiH"])
def test_a_large_basis_comes_near_the_hartree_fock_limit_from_above(name):
    molecule = molecule_from(name)
    limit = reference_energy(molecule).hartree_fock
    hf = hartree_fock(molecule, "cc-pvqz")
    assert hf.converged
    # UHF lies up to 3e-4 below the spin-restricted limit of N and Li; rounding of the table is 1e-5.
    assert limit - 4e-4 < hf.energy < limit + 1.5e-3


def test_the_method_follows_the_shell():
    assert hartree_fock(molecule_from("Be")).method == "RHF"
    unrestricted = hartree_fock(molecule_from("Li"))
    restricted = hartree_fock(molecule_from("Li"), restricted_open_shell=True)
    assert (unrestricted.method, restricted.method) == ("UHF", "ROHF")
    assert unrestricted.energy < restricted.energy + 1e-9
    assert np.array_equal(restricted.coefficients_up, restricted.coefficients_down)
    assert not np.array_equal(unrestricted.coefficients_up, unrestricted.coefficients_down)


@pytest.mark.parametrize(("name", "restricted"), [("LiH", False), ("O2", False), ("N", True)])
def test_orbitals_are_orthonormal_and_give_back_the_energy(name, restricted):
    molecule = molecule_from(name)
    hf = hartree_fock(molecule, restricted_open_shell=restricted)
    mol = pyscf_molecule(molecule, hf.basis_name)
    overlap = mol.intor("int1e_ovlp")
    for orbitals in (hf.coefficients_up, hf.coefficients_down):
        np.testing.assert_allclose(orbitals.T @ overlap @ orbitals, np.eye(hf.n_orbitals), atol=1e-9)
    density_up, density_down = (np.asarray(c) @ np.asarray(c).T for c in (hf.occupied.up, hf.occupied.down))
    core = mol.intor("int1e_kin") + mol.intor("int1e_nuc")
    repulsion = mol.intor("int2e")
    total = density_up + density_down
    coulomb = np.einsum("ijkl,kl->ij", repulsion, total)
    exchange = [np.einsum("ikjl,kl->ij", repulsion, density) for density in (density_up, density_down)]
    energy = (
        molecule.nuclear_repulsion
        + np.sum(core * total)
        + 0.5 * np.sum(coulomb * total)
        - 0.5 * (np.sum(exchange[0] * density_up) + np.sum(exchange[1] * density_down))
    )
    assert energy == pytest.approx(hf.energy, abs=1e-8)


def test_an_unstable_solution_is_followed_downhill():
    hf = hartree_fock(molecule_from("C2"))
    assert any("unstable" in note for note in hf.notes)
    assert hf.converged
    assert hf.energy == pytest.approx(-75.4173, abs=2e-3)  # 30 millihartree below the first solution


def test_the_second_order_solver_takes_over_where_the_iteration_fails(monkeypatch):
    module = importlib.import_module("adiabat.electrons.hartree_fock")  # the package offers a function of that name
    usual = module.scf_solver

    def hasty(mol, method):
        solver = usual(mol, method)
        solver.max_cycle = 2
        return solver

    expected = hartree_fock(molecule_from("LiH")).energy
    monkeypatch.setattr(module, "scf_solver", hasty)
    hf = hartree_fock(molecule_from("LiH"))
    assert hf.notes == ("Hartree-Fock converged by the second-order solver, after the usual iteration failed",)
    assert hf.converged
    assert hf.energy == pytest.approx(expected, abs=1e-8)


def test_twice_is_the_same_to_the_bit_and_nothing_is_printed(capfd):
    first, second = (hartree_fock(molecule_from("CH4")) for _ in range(2))
    assert first.energy == second.energy
    assert np.array_equal(first.coefficients_up, second.coefficients_up)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "basis", "message"),
    [
        ("Be", "no-such-basis", "basis 'no-such-basis' is unknown to PySCF or lacks one of the elements Be"),
        ("U", "cc-pvdz", "lacks one of the elements U"),
    ],
)
def test_a_basis_that_does_not_serve_is_refused(name, basis, message):
    with pytest.raises(InputError, match=message):
        hartree_fock(molecule_from(name), basis)


def test_a_basis_too_small_for_the_electrons_is_refused():
    with pytest.raises(InputError, match="basis 'sto-3g' has 2 orbitals, too few for the 3 electrons of spin up"):
        hartree_fock(molecule_from("H 0 0 0; H 0 0 1", charge=-1, spin=3), "sto-3g")
