"""Atomic and molecular orbitals in JAX against PySCF's own evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons.gaussian_orbitals import evaluate, solid_harmonics
from adiabat.electrons.hartree_fock import gaussian_basis, hartree_fock, pyscf_molecule
from adiabat.electrons.molecule_input import molecule_from
from adiabat.electrons.slater_determinant import log_slater_determinant, molecular_orbitals


def _points(molecule, n=40):
    """Random points around the nuclei, the nuclei themselves first."""
    rng = np.random.default_rng(1)
    return np.concatenate([molecule.positions, rng.normal(size=(n, 3)) * 2.0])


@pytest.mark.parametrize(
    ("name", "basis"),
    [("NH3", "cc-pvdz"), ("LiH", "cc-pvtz"), ("C", "cc-pvqz"), ("B", "cc-pv5z"), ("Fe", "def2-svp")],
)
def test_atomic_orbitals_are_those_of_pyscf(name, basis):
    molecule = molecule_from(name)
    mol = pyscf_molecule(molecule, basis)
    points = _points(molecule)
    expected = mol.eval_gto("GTOval_sph", points)
    orbitals = gaussian_basis(mol)
    assert orbitals.n_orbitals == mol.nao
    with jax.enable_x64(True):
        ours = np.asarray(jax.jit(evaluate)(orbitals, jnp.asarray(points)))
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_single_precision_stays_single_and_is_accurate():
    molecule = molecule_from("NH3")
    mol = pyscf_molecule(molecule, "cc-pvtz")
    points = _points(molecule).astype(np.float32)
    with jax.enable_x64(True):  # where a stray float64 would promote
        ours = jax.jit(evaluate)(gaussian_basis(mol), jnp.asarray(points))
    assert ours.dtype == jnp.float32
    expected = mol.eval_gto("GTOval_sph", points.astype(np.float64))
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=0, atol=3e-6 * np.abs(expected).max())


def test_derivatives_are_finite_at_the_nuclei_and_those_of_pyscf():
    molecule = molecule_from("LiH")
    mol = pyscf_molecule(molecule, "cc-pvtz")
    basis = gaussian_basis(mol)
    points = _points(molecule, 5)
    with jax.enable_x64(True):
        gradient = jax.jit(jax.vmap(jax.jacfwd(lambda r: evaluate(basis, r))))(jnp.asarray(points))
        hessian = jax.jit(jax.vmap(jax.jacfwd(jax.jacfwd(lambda r: evaluate(basis, r)))))(jnp.asarray(points))
    expected = mol.eval_gto("GTOval_sph_deriv2", points)
    np.testing.assert_allclose(gradient, np.moveaxis(expected[1:4], 0, -1), atol=1e-11 * np.abs(expected[1:4]).max())
    laplacian = np.trace(np.asarray(hessian), axis1=-2, axis2=-1)
    np.testing.assert_allclose(
        laplacian, expected[4] + expected[7] + expected[9], atol=1e-11 * np.abs(expected[4:]).max()
    )


def test_solid_harmonics_are_harmonic_and_orthonormal():
    with jax.enable_x64(True):
        harmonics = jax.jit(lambda r: jnp.concatenate(solid_harmonics(r, 4), axis=-1))
        hessians = jax.jit(jax.hessian(harmonics))(jnp.array([0.3, -0.7, 1.1]))
        np.testing.assert_allclose(np.trace(np.asarray(hessians), axis1=-2, axis2=-1), 0.0, atol=1e-12)
        # A rule on the sphere that is exact to degree 9: Gauss-Legendre in cos(theta), equal steps in phi.
        cosines, weights = np.polynomial.legendre.leggauss(5)
        angles = 2 * np.pi * np.arange(10) / 10
        sines = np.sqrt(1 - cosines**2)[:, None]
        sphere = np.stack(
            np.broadcast_arrays(sines * np.cos(angles), sines * np.sin(angles), cosines[:, None]), axis=-1
        )
        values = np.asarray(harmonics(jnp.asarray(sphere.reshape(-1, 3))))
    overlap = values.T @ (np.repeat(weights, 10)[:, None] * values) * 2 * np.pi / 10
    np.testing.assert_allclose(overlap, np.eye(25), atol=1e-12)


@pytest.mark.parametrize(("name", "charge"), [("Li", 0), ("H", 0), ("O2", 1)])
def test_the_slater_matrices_hold_the_occupied_orbitals(name, charge):
    molecule = molecule_from(name, charge=charge)
    hf = hartree_fock(molecule)
    x = np.random.default_rng(2).normal(size=(molecule.n_electrons, 3))
    atomic = pyscf_molecule(molecule, hf.basis_name).eval_gto("GTOval_sph", x)
    expected_up = atomic[: molecule.n_up] @ hf.coefficients_up[:, : molecule.n_up]
    expected_down = atomic[molecule.n_up :] @ hf.coefficients_down[:, : molecule.n_down]
    with jax.enable_x64(True):
        up, down = jax.jit(molecular_orbitals)(hf.occupied, jnp.asarray(x))
        log, sign = jax.jit(log_slater_determinant)(hf.occupied, jnp.asarray(x))
    np.testing.assert_allclose(up, expected_up, atol=1e-12)
    np.testing.assert_allclose(down, expected_down, atol=1e-12)
    product = np.linalg.det(expected_up) * np.linalg.det(expected_down)
    assert float(sign) * np.exp(float(log)) == pytest.approx(product, rel=1e-10)


def test_the_determinant_changes_sign_when_electrons_of_one_spin_swap():
    hf = hartree_fock(molecule_from("Be"))
    x = jnp.asarray(np.random.default_rng(3).normal(size=(4, 3)), jnp.float32)
    value = jax.jit(log_slater_determinant)
    log, sign = value(hf.occupied, x)
    swapped_log, swapped_sign = value(hf.occupied, x[jnp.array([1, 0, 2, 3])])
    assert swapped_sign == -sign
    assert float(swapped_log) == pytest.approx(float(log), abs=1e-5)
