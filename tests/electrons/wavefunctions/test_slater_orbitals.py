"""The fitted start of a network: Hartree-Fock orbitals, with the cusps that Gaussians lack."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import HARTREE_FOCK, LIH, case, quick_jit, shaken, six_walkers, start_of, without_network

from adiabat.electrons.hartree_fock import hartree_fock
from adiabat.electrons.molecule import Molecule
from adiabat.electrons.slater_determinant import log_slater_determinant
from adiabat.electrons.starting_positions import starting_positions
from adiabat.electrons.wavefunctions import FermiNet, HartreeFockStart
from adiabat.electrons.wavefunctions.geometry import geometry
from adiabat.electrons.wavefunctions.slater_orbitals import slater_basis, slater_determinant_orbitals
from adiabat.electrons.wavefunctions.spins import Spins

HELIUM = Molecule(("He",), np.zeros((1, 3)))


@pytest.mark.parametrize("molecule", [HELIUM, LIH], ids=["He", "LiH"])
def test_the_fit_is_the_hartree_fock_wavefunction_where_electrons_are(molecule):
    """Overlap of the two on walkers at starting positions, which cover shells and bonds."""
    network = FermiNet(molecule=molecule, determinants=1, hartree_fock_start=start_of(molecule, 1), dtype="float64")
    target = hartree_fock(molecule).occupied
    walkers = starting_positions(molecule, 0, 400).astype(np.float64)
    params = without_network(network.init(0))

    def both(params, x):
        (fit, phase), (log, sign) = network.log_psi(params, x), log_slater_determinant(target, x)
        return fit - log, jnp.cos(phase) * sign

    with jax.enable_x64(True):
        difference, sign = jax.tree.map(np.asarray, quick_jit(jax.vmap(both, in_axes=(None, 0)))(params, walkers))
    ratio = np.exp(difference - np.median(difference)) * sign
    assert np.mean(ratio) ** 2 / np.mean(ratio**2) > 0.9
    assert start_of(molecule, 1).error < 0.05


def test_orbitals_are_block_diagonal_in_the_spins():
    psi = case(FermiNet, HARTREE_FOCK)
    network, start = psi.network, shaken(psi.network.init(0))["start"]
    with jax.enable_x64(True):

        def fitted(start, x):
            return slater_determinant_orbitals(start, network.basis, network.spins, geometry(x, LIH.positions))

        orbitals = np.asarray(quick_jit(fitted)(start, six_walkers()[0]))
    assert orbitals.shape == (2, 4, 4)
    assert not orbitals[:, :2, 2:].any()
    assert not orbitals[:, 2:, :2].any()
    assert orbitals[:, :2, :2].all()
    assert orbitals[:, 2:, 2:].all()


def test_exponents_span_from_the_valence_to_the_nucleus_and_stay_positive():
    for molecule in (HELIUM, LIH):
        basis, exponents = slater_basis(molecule.numbers)
        assert basis.shells == len(exponents)
        assert exponents.min() > 0
        assert exponents.max() > max(molecule.numbers)
    params = HartreeFockStart.blank(basis, Spins(2, 2), 3).init("float32")
    assert params["log_exponents"].shape == (basis.shells,)
    assert [c.shape for c in params["coefficients"]] == [(basis.size, 6)] * 2


def test_the_functions_of_the_basis_are_those_it_says():
    basis, exponents = slater_basis(LIH.numbers)
    x = six_walkers()[0]
    with jax.enable_x64(True):
        functions = np.asarray(basis(jnp.asarray(exponents), geometry(jnp.asarray(x), LIH.positions)))
    vectors = x[:, None] - LIH.positions
    r = np.linalg.norm(vectors, axis=-1)
    rate = 1.5 * LIH.numbers
    radial = r - (1 - np.exp(-rate * r)) / rate
    columns = [np.exp(-z * radial[:, k]) for z, k in zip(exponents, basis.s_centers, strict=False)]
    for z, k in zip(exponents[len(basis.s_centers) :], basis.p_centers, strict=True):
        columns += list((np.exp(-z * radial[:, k])[:, None] * vectors[:, k]).T)
    np.testing.assert_allclose(functions, np.stack(columns, axis=-1), rtol=1e-12)
    assert functions.shape[1] == basis.size
