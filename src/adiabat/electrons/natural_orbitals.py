"""Natural orbitals: eigenvectors of the one-electron density (Lowdin, Phys. Rev. 97, 1474, 1955)."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from adiabat.electrons.hartree_fock import HartreeFock

LARGEST_SINGLES_AND_DOUBLES = 1e9
"""Up to this value of occupied^2 virtual^4 (seconds on a laptop) CISD is used, beyond it MP2."""

DEGENERATE = 1e-3
"""Natural occupations are equal when their distances from empty or full differ by less than this fraction."""

ORIENTATION = np.diag([1.0, 1.37, 1.89])
"""An anisotropic quadrupole that singles out one basis of every degenerate set, the same in all sets."""


def natural_orbitals(
    hf: HartreeFock, mol: Any
) -> tuple[Float[np.ndarray, "orbitals molecular"], Float[np.ndarray, " molecular"]]:
    """Spin-averaged natural orbitals and their occupations (2 to 0, descending) of CISD or MP2."""
    density = _correlated_density(hf, mol)
    overlap = mol.intor("int1e_ovlp")
    values, vectors = np.linalg.eigh(overlap)
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse_root = (vectors / np.sqrt(values)) @ vectors.T
    occupations, orbitals = np.linalg.eigh(root @ density @ root)
    return (inverse_root @ orbitals)[:, ::-1], np.clip(occupations[::-1], 0.0, 2.0)


def strength(occupations: Float[np.ndarray, " molecular"]) -> Float[np.ndarray, " molecular"]:
    """How far correlation takes each orbital from being full or empty."""
    return np.minimum(occupations, 2.0 - occupations)


def runs_of_equals(values: Float[np.ndarray, " n"], scale: Float[np.ndarray, " n"]) -> list[range]:
    """Runs of neighbors in a sorted list that differ by less than `DEGENERATE` times their scale."""
    tolerance = DEGENERATE * np.maximum(scale[1:], scale[:-1]) + 1e-9
    starts = [0, *(np.flatnonzero(np.abs(np.diff(values)) > tolerance) + 1).tolist()]
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(values)], strict=True)]


def orientation(
    mol: Any, orbitals: Float[np.ndarray, "orbitals molecular"], occupations: Float[np.ndarray, " molecular"]
) -> Float[np.ndarray, "molecular molecular"]:
    """A rotation within degenerate sets after which all sets point the same ways, with definite signs.

    Without it the two pi orbitals of N2 and their pi* partners would be turned against each other by an
    arbitrary angle, and excitations that are one determinant would be spread over four.
    """
    charges = mol.atom_charges()
    center = charges @ mol.atom_coords() / charges.sum()
    with mol.with_common_orig(center):
        moments = mol.intor("int1e_rr").reshape(3, 3, mol.nao, mol.nao)
    quadrupole = orbitals.T @ np.einsum("xy,xyij->ij", ORIENTATION, moments) @ orbitals
    rotation = np.zeros((len(occupations),) * 2)
    for members in runs_of_equals(occupations, strength(occupations)):
        block = slice(members.start, members.stop)
        rotation[block, block] = np.linalg.eigh(quadrupole[block, block])[1]
    turned = orbitals @ rotation
    # The first of the largest entries is positive; the margin keeps rounding from choosing among equal ones.
    decisive = np.argmax(np.abs(turned) > 0.999 * np.abs(turned).max(axis=0), axis=0)
    return rotation * np.sign(turned[decisive, np.arange(turned.shape[1])])


def _correlated_density(hf: HartreeFock, mol: Any) -> Float[np.ndarray, "orbitals orbitals"]:
    """One-electron density matrix over atomic orbitals, both spins together."""
    from pyscf import ci, mp

    solver = hf.as_pyscf(mol)
    n_occupied, n_virtual = hf.molecule.n_up, hf.n_orbitals - hf.molecule.n_up
    if n_occupied**2 * n_virtual**4 <= LARGEST_SINGLES_AND_DOUBLES:
        correlated = ci.CISD(solver)
        correlated.conv_tol, correlated.chkfile, correlated.verbose = 1e-10, None, 0
        correlated.kernel()
        # From an open shell the diagonalisation can settle on an excited state; perturbation theory cannot.
        if not (correlated.converged and correlated.e_tot < hf.energy):
            correlated = mp.MP2(solver).run()
    else:
        correlated = mp.MP2(solver).run()
    density = np.asarray(correlated.make_rdm1(ao_repr=True))
    return density.sum(axis=0) if density.ndim == 3 else density
