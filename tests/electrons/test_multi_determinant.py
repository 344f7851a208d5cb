"""The leading determinants: the right ones, whole sets of them, with the right signs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons import multi_determinant
from adiabat.electrons.active_space import choose_active, solve_active_space
from adiabat.electrons.gaussian_orbitals import evaluate
from adiabat.electrons.hartree_fock import hartree_fock, pyscf_molecule
from adiabat.electrons.molecule_input import molecule_from
from adiabat.electrons.multi_determinant import choose_whole_sets, leading_determinants
from adiabat.electrons.starting_positions import starting_positions


def _pairs(expansion):
    return list(zip(map(tuple, expansion.up), map(tuple, expansion.down), strict=True))


def _values(expansion, walkers, n_up):
    """Psi of each walker, in float64."""
    with jax.enable_x64(True):
        atomic = np.asarray(jax.jit(evaluate)(expansion.basis, jnp.asarray(walkers)))
    up, down = atomic[:, :n_up] @ expansion.orbitals_up, atomic[:, n_up:] @ expansion.orbitals_down
    determinants_up = np.linalg.det(np.moveaxis(up[:, :, expansion.up], 2, 1))
    determinants_down = np.linalg.det(np.moveaxis(down[:, :, expansion.down], 2, 1))
    return (determinants_up * determinants_down) @ expansion.coefficients


def test_beryllium_has_two_s_and_all_three_two_p_pairs():
    expansion = leading_determinants(hartree_fock(molecule_from("Be")), 4)
    assert expansion.n_distinct == 4
    assert _pairs(expansion)[0] == ((0, 1), (0, 1))
    assert sorted(_pairs(expansion)[1:]) == [((0, m), (0, m)) for m in (2, 3, 4)]
    assert expansion.coefficients[0] == pytest.approx(0.953, abs=0.005)
    np.testing.assert_allclose(expansion.coefficients[1:], -0.174, atol=0.005)
    np.testing.assert_allclose(expansion.coefficients[1:], expansion.coefficients[1], rtol=1e-4)
    # The three are 2p_x, 2p_y and 2p_z: each along one axis.
    labels = [label.split()[2] for label in pyscf_molecule(molecule_from("Be"), "cc-pvdz").ao_labels()]
    for orbital in expansion.orbitals_up[:, 2:5].T:
        assert len({label[-1] for label, weight in zip(labels, orbital, strict=True) if abs(weight) > 1e-3}) == 1


def test_a_set_that_does_not_fit_is_left_out_and_the_leading_determinant_repeated():
    hf = hartree_fock(molecule_from("Be"))
    whole, three = leading_determinants(hf, 4), leading_determinants(hf, 3)
    assert not set(_pairs(three)) & set(_pairs(whole)[1:])
    assert np.sum(three.coefficients[np.array([pair == ((0, 1), (0, 1)) for pair in _pairs(three)])]) == pytest.approx(
        whole.coefficients[0]
    )
    assert three.n_distinct < 3
    assert "repeated" in three.notes[0]


def test_choosing_whole_sets():
    magnitudes = np.array([0.1, 0.9, 0.1, 0.05, 0.1, 1e-9])
    assert choose_whole_sets(magnitudes, 4).tolist() == [1, 0, 2, 4]
    assert choose_whole_sets(magnitudes, 3).tolist() == [1, 3]
    assert choose_whole_sets(magnitudes, 99).tolist() == [1, 0, 2, 4, 3]
    assert choose_whole_sets(np.array([0.5, 0.5]), 1).tolist() == [0]


def test_the_pairs_of_nitrogen_excite_parallel_pi_orbitals():
    expansion = leading_determinants(hartree_fock(molecule_from("N2")), 3)
    assert expansion.n_distinct == 3
    for (up, down), coefficient in list(zip(_pairs(expansion), expansion.coefficients, strict=True))[1:]:
        assert up == down
        assert coefficient == pytest.approx(-0.115, abs=0.01)
        hole, particle = (set(range(7)) - set(up)).pop(), (set(up) - set(range(7))).pop()
        # The pi orbital that is left and the pi* that is filled lie along the same axis.
        labels = [label.split()[2] for label in pyscf_molecule(molecule_from("N2"), "cc-pvdz").ao_labels()]
        axes = [labels[int(np.argmax(np.abs(expansion.orbitals_up[:, orbital])))][-1] for orbital in (hole, particle)]
        assert axes in (["x", "x"], ["y", "y"])


def test_all_pairs_of_hydrogen_give_the_exact_energy_in_the_basis():
    molecule = molecule_from("H2")
    hf = hartree_fock(molecule)
    expansion = leading_determinants(hf, 10)
    assert expansion.n_distinct == 10
    assert expansion.weight == pytest.approx(1.0, abs=1e-9)
    mol = pyscf_molecule(molecule, "cc-pvdz")
    orbitals, c = expansion.orbitals_up, expansion.coefficients
    assert all(up == down for up, down in _pairs(expansion))
    orbitals = orbitals[:, expansion.up[:, 0]]
    core = np.einsum("ai,ab,bi->i", orbitals, mol.intor("int1e_kin") + mol.intor("int1e_nuc"), orbitals)
    exchange = np.einsum("abcd,ai,bj,ci,dj->ij", mol.intor("int2e"), *(orbitals,) * 4, optimize=True)
    energy = molecule.nuclear_repulsion + 2 * c**2 @ core + c @ exchange @ c
    assert energy == pytest.approx(expansion.energy, abs=1e-9)
    assert energy == pytest.approx(-1.16340, abs=1e-4)  # full CI in cc-pVDZ


@pytest.mark.parametrize(("name", "spin"), [("Li", 1), ("LiH", 2)])
def test_the_signs_make_a_spin_eigenstate(name, spin, monkeypatch):
    """Fock's condition for S = S_z: psi is its own sum over swaps of a down with each up electron."""
    molecule = molecule_from(name, spin=spin)
    monkeypatch.setattr(multi_determinant, "NEGLIGIBLE", 0.0)
    expansion = leading_determinants(hartree_fock(molecule), 3000)
    n_up, walkers = molecule.n_up, starting_positions(molecule, 5, 6).astype(np.float64)
    values, swapped = _values(expansion, walkers, n_up), 0.0
    for i in range(n_up):
        order = np.arange(molecule.n_electrons)
        order[[i, n_up]] = order[[n_up, i]]
        swapped += _values(expansion, walkers[:, order], n_up)
    np.testing.assert_allclose(swapped, values, rtol=0, atol=2e-4 * np.abs(values).max())


def test_the_expansion_is_the_same_wavefunction_in_whatever_orbitals(monkeypatch):
    """Natural orbitals shorten the expansion; they must not change what it is."""
    from adiabat.electrons import active_space

    molecule = molecule_from("LiH", spin=2)
    hf = hartree_fock(molecule)
    walkers = starting_positions(molecule, 6, 6).astype(np.float64)
    monkeypatch.setattr(multi_determinant, "NEGLIGIBLE", 0.0)
    oriented = leading_determinants(hf, 3000)
    turned = np.linalg.qr(np.random.default_rng(7).normal(size=(10, 10)))[0]
    monkeypatch.setattr(active_space, "orientation", lambda mol, orbitals, held: turned)
    rotated = leading_determinants(hf, 3000)
    assert rotated.coefficients[0] < 0.9 * oriented.coefficients[0]
    ours, theirs = (_values(each, walkers, molecule.n_up) for each in (oriented, rotated))
    np.testing.assert_allclose(ours, theirs * np.sign(theirs[0] * ours[0]), rtol=0, atol=1e-7 * np.abs(ours).max())


@pytest.mark.parametrize("name", ["LiH", "O2", "B"])
def test_orbitals_are_orthonormal_and_the_energy_is_below_hartree_fock(name):
    hf = hartree_fock(molecule_from(name))
    expansion = leading_determinants(hf, 8)
    overlap = pyscf_molecule(hf.molecule, hf.basis_name).intor("int1e_ovlp")
    gram = expansion.orbitals_up.T @ overlap @ expansion.orbitals_up
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-8)
    assert expansion.energy < hf.energy - 0.02
    assert 0.9 < expansion.weight <= 1.0
    assert expansion.up.shape == (8, hf.molecule.n_up)
    assert expansion.down.shape == (8, hf.molecule.n_down)
    for filling in (*expansion.up, *expansion.down):
        assert np.all(np.diff(filling) > 0)
    assert expansion.coefficients[0] > 0


def test_stretched_hydrogen_needs_both_determinants():
    expansion = leading_determinants(hartree_fock(molecule_from("H 0 0 0; H 0 0 8", unit="bohr")), 2)
    np.testing.assert_allclose(np.abs(expansion.coefficients), np.sqrt(0.5), atol=0.02)
    assert expansion.coefficients[1] < 0


@pytest.mark.parametrize(("name", "n_determinants"), [("H", 4), ("LiH", 1), ("O2", 1)])
def test_one_electron_or_one_determinant_is_hartree_fock_itself(name, n_determinants):
    hf = hartree_fock(molecule_from(name))
    expansion = leading_determinants(hf, n_determinants)
    assert np.sum(expansion.coefficients) == pytest.approx(1.0)
    assert expansion.n_distinct == 1
    assert expansion.energy == hf.energy
    assert np.array_equal(expansion.orbitals_up, hf.coefficients_up)
    assert np.array_equal(expansion.orbitals_down, hf.coefficients_down)


def test_a_failed_active_space_falls_back_to_hartree_fock_and_says_so(monkeypatch):
    def fail(*_args):
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(multi_determinant, "solve_active_space", fail)
    hf = hartree_fock(molecule_from("Be"))
    expansion = leading_determinants(hf, 4)
    assert expansion.n_distinct == 1
    assert "did not converge" in expansion.notes[0]


def test_the_active_space_takes_whole_sets_of_the_strongest_orbitals():
    occupations = np.array([2.0, 1.9, 1.8, 1.8, 0.2, 0.2, 0.04, 0.03, 0.02, 0.02, 0.02, 0.02, 0.0])
    core, active = choose_active(occupations, 4, 4)
    assert core.tolist() == [0]
    assert active.tolist() == [1, 2, 3, 4, 5, 6, 7]  # the set of four at 0.02 would make eleven
    core, active = choose_active(np.array([2.0, 2.0, 1.0, 1.0, 0.0]), 4, 2)
    assert {2, 3} <= set(active.tolist())


def test_an_electron_per_orbital_leaves_nothing_to_excite():
    hf = hartree_fock(molecule_from("H2", spin=2), "sto-3g")
    assert leading_determinants(hf, 2).n_distinct == 1
    hf = hartree_fock(molecule_from("He"), "sto-3g")
    assert leading_determinants(hf, 2).n_distinct == 1


def test_the_component_of_a_degenerate_level_is_the_one_nearest_hartree_fock():
    hf = hartree_fock(molecule_from("B"), restricted_open_shell=True)
    space = solve_active_space(hf, pyscf_molecule(hf.molecule, hf.basis_name))
    assert abs(space.vector[0, 0]) > 0.9
