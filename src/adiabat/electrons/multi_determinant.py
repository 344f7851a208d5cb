"""The few determinants that matter most: a start beyond Hartree-Fock for a sum of determinants.

Natural orbitals of a cheap correlated calculation (CISD, or MP2 for larger molecules) rank all orbitals by
how strongly correlation changes their occupation. The strongest ten form an active space that is diagonalised
exactly; in the natural orbitals of that wavefunction the expansion is shortest (Lowdin 1955), and its largest
coefficients are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from adiabat.electrons.active_space import ActiveSpace, solve_active_space
from adiabat.electrons.gaussian_orbitals import GaussianBasis
from adiabat.electrons.hartree_fock import HartreeFock, pyscf_molecule, quiet_and_reproducible

TIE = 1e-3
"""Coefficients closer than this fraction belong to one symmetric set, kept whole or not at all."""

NEGLIGIBLE = 1e-5
"""A determinant with a smaller coefficient is not worth a place; leading ones are repeated instead."""


@dataclass(frozen=True, eq=False)
class DeterminantExpansion:
    """Psi = sum_k c_k det[orbitals up[k]] det[orbitals down[k]]; all arrays are NumPy arrays.

    Args:
        basis: the atomic orbitals, ready for JAX.
        orbitals_up: molecular orbitals for spin up, (orbitals, molecular), strongest occupied first.
        orbitals_down: the same array unless this is a single unrestricted determinant.
        coefficients: (K,), descending in magnitude; a repeated determinant has its coefficient divided among
            its copies.
        up: which orbitals each determinant fills with spin up, (K, n_up), ascending.
        down: the same for spin down, (K, n_down).
        n_distinct: number of different determinants among the K.
        weight: their share of the norm of the wavefunction they were taken from, 0 to 1.
        energy: of the wavefunction they were taken from, hartree.
        notes: sentences for the log.
    """

    basis: GaussianBasis
    orbitals_up: Float[np.ndarray, "orbitals molecular"]
    orbitals_down: Float[np.ndarray, "orbitals molecular"]
    coefficients: Float[np.ndarray, " determinants"]
    up: Int[np.ndarray, "determinants n_up"]
    down: Int[np.ndarray, "determinants n_down"]
    n_distinct: int
    weight: float
    energy: float
    notes: tuple[str, ...] = ()


def leading_determinants(hf: HartreeFock, n_determinants: int) -> DeterminantExpansion:
    """The `n_determinants` largest determinants of an active-space wavefunction, symmetric sets kept whole.

    Determinants of equal weight (2p_x^2, 2p_y^2, 2p_z^2 in beryllium) enter together or not at all, so that
    the start has the symmetry of the molecule. Where fewer determinants exist or fit, the leading one is
    repeated to fill the places. With one determinant, one electron, or no virtual orbitals it is the
    Hartree-Fock determinant itself.
    """
    molecule = hf.molecule
    if n_determinants == 1 or molecule.n_electrons == 1 or hf.n_orbitals <= molecule.n_up:
        return _hartree_fock_determinant(hf, n_determinants)
    with quiet_and_reproducible():
        try:
            space = solve_active_space(hf, pyscf_molecule(molecule, hf.basis_name))
        except (np.linalg.LinAlgError, FloatingPointError, RuntimeError, ValueError) as error:
            note = f"the active-space calculation failed ({error}): starting from Hartree-Fock alone"
            return _hartree_fock_determinant(hf, n_determinants, (note,))
    if space is None:
        return _hartree_fock_determinant(hf, n_determinants)
    return _largest(space, hf.basis, n_determinants)


def _largest(space: ActiveSpace, basis: GaussianBasis, n_determinants: int) -> DeterminantExpansion:
    from pyscf.fci import cistring

    magnitudes = np.abs(space.vector).ravel()
    chosen = choose_whole_sets(magnitudes, n_determinants)
    coefficients = space.vector.ravel()[chosen]
    coefficients = coefficients * np.sign(coefficients[0])  # the sign of the whole is free: the leading one is positive
    rows_up, rows_down = np.unravel_index(chosen, space.vector.shape)
    core = np.arange(space.n_core)
    fillings = []
    for rows, n_electrons in ((rows_up, space.n_up), (rows_down, space.n_down)):
        strings = np.asarray(cistring.gen_occslst(range(space.n_active), n_electrons), dtype=np.int64)
        active = strings.reshape(-1 if n_electrons else 1, n_electrons)[rows] + space.n_core
        fillings.append(np.hstack([np.broadcast_to(core, (len(rows), len(core))), active]))
    places = np.arange(n_determinants) % len(chosen)
    copies = np.bincount(places, minlength=len(chosen))
    notes: tuple[str, ...] = ()
    if len(chosen) < n_determinants:
        notes = (f"{len(chosen)} determinants fill the {n_determinants} places: the leading ones are repeated",)
    return DeterminantExpansion(
        basis=basis,
        orbitals_up=space.orbitals,
        orbitals_down=space.orbitals,
        coefficients=(coefficients / copies)[places],
        up=fillings[0][places],
        down=fillings[1][places],
        n_distinct=len(chosen),
        weight=float(np.sum(coefficients**2)),
        energy=space.energy,
        notes=notes,
    )


def choose_whole_sets(magnitudes: Float[np.ndarray, " n"], n_places: int) -> Int[np.ndarray, " chosen"]:
    """Indices of the largest magnitudes, descending, such that equal ones (to `TIE`) are all chosen or none.

    A set that does not fit into the places that are left is passed over for smaller sets that do.
    """
    order = np.argsort(-magnitudes, kind="stable")
    order = order[magnitudes[order] > NEGLIGIBLE * magnitudes[order[0]]]
    sorted_magnitudes = magnitudes[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_magnitudes[1:] < (1 - TIE) * sorted_magnitudes[:-1]]))
    chosen: list[int] = []
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        if len(chosen) + stop - start <= n_places:
            chosen.extend(order[start:stop])
    return np.array(chosen or order[:n_places])


def _hartree_fock_determinant(
    hf: HartreeFock, n_determinants: int, notes: tuple[str, ...] = ()
) -> DeterminantExpansion:
    molecule = hf.molecule
    return DeterminantExpansion(
        basis=hf.basis,
        orbitals_up=hf.coefficients_up,
        orbitals_down=hf.coefficients_down,
        coefficients=np.full(n_determinants, 1.0 / n_determinants),
        up=np.tile(np.arange(molecule.n_up), (n_determinants, 1)),
        down=np.tile(np.arange(molecule.n_down), (n_determinants, 1)),
        n_distinct=1,
        weight=1.0,
        energy=hf.energy,
        notes=notes,
    )
