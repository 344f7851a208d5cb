"""Molecular orbitals over Slater functions: the part of a network that starts as Hartree-Fock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.electrons.hartree_fock import pyscf_molecule
from adiabat.electrons.molecule import Molecule
from adiabat.electrons.multi_determinant import DeterminantExpansion
from adiabat.electrons.wavefunctions.envelopes import Envelope
from adiabat.electrons.wavefunctions.geometry import Geometry, cusp_rates, cuspless_length
from adiabat.electrons.wavefunctions.spins import Spins

POINTS_PER_NUCLEUS = 3000
RIDGE = 1e-4
"""Regularisation of the fit, in units of the orbitals' norm."""


@dataclass(frozen=True)
class SlaterBasis:
    """Functions ``Y(r) exp(-zeta s(r))`` on the nuclei, with the cuspless length s in place of r.

    The cusps at the nuclei are left to the Jastrow factor; together they hold hydrogen's orbitals exactly.

    Parameters
    ----------
    s_centers, p_centers : tuple of int
        Nucleus of each s function and of each set of three p functions.
    charges : tuple of int
        Of the nuclei.
    """

    s_centers: tuple[int, ...]
    p_centers: tuple[int, ...]
    charges: tuple[int, ...]

    @property
    def shells(self) -> int:
        """Number of exponents."""
        return len(self.s_centers) + len(self.p_centers)

    @property
    def size(self) -> int:
        """Number of functions."""
        return len(self.s_centers) + 3 * len(self.p_centers)

    def __call__(self, exponents: Float[Array, "shells"], geometry: Geometry) -> Float[Array, "electrons functions"]:
        """Values of all functions at the electrons: s functions first, then x, y, z of each p set."""
        lengths = cuspless_length(geometry.nuclear_lengths, cusp_rates(np.array(self.charges)))
        centers = np.array(self.s_centers + self.p_centers)
        radial = jnp.exp(-exponents * lengths[:, centers])
        split = len(self.s_centers)
        p = radial[:, split:, None] * geometry.nuclear_vectors[:, np.array(self.p_centers, dtype=int), :]
        return jnp.concatenate([radial[:, :split], p.reshape(len(radial), -1)], axis=-1)


@dataclass(frozen=True, eq=False)
class HartreeFockStart:
    """The orbitals and determinants that a network starts from: what is fitted, not what is fixed.

    Parameters
    ----------
    exponents : (shells,) float64
        Of the basis, 1/bohr.
    coefficients : list of (functions, determinants, orbitals) float64
        Of the occupied orbitals of each spin channel in each determinant, which hold its weight in equal shares. As
        a parameter of its own the weight of a determinant of many orbitals would drift to any order of magnitude, and
        the derivatives with it.
    error : float
        Largest relative error of an orbital in the fit.
    """

    exponents: np.ndarray
    coefficients: list[np.ndarray]
    error: float = 0.0

    @classmethod
    def blank(cls, basis: SlaterBasis, spins: Spins, determinants: int) -> HartreeFockStart:
        """Ones in the right shapes, for parameters that will be read from elsewhere."""
        sizes = [channel.stop - channel.start for channel in spins.channels]
        coefficients = [np.ones((basis.size, determinants, size)) for size in sizes]
        return cls(np.ones(basis.shells), coefficients)

    def envelopes(self, basis: SlaterBasis, spins: Spins, dtype: str) -> list[Envelope]:
        """Envelopes that decay as the orbitals do, so that the network's part leaves each orbital where it is.

        The share and the mean exponent of each nucleus in an orbital's squared coefficients give weight and decay.
        Without them, a core orbital would reach the other nuclei, and walkers would get stuck in states where an atom's
        core is empty.
        """
        split = len(basis.s_centers)
        centers = np.concatenate([basis.s_centers, np.repeat(np.array(basis.p_centers, dtype=int), 3)])
        exponents = np.concatenate([self.exponents[:split], np.repeat(self.exponents[split:], 3)])
        norms = np.concatenate([np.pi / exponents[:split] ** 3, np.pi / exponents[split:] ** 5])
        of_nucleus = centers == np.arange(len(basis.charges))[:, None]
        columns = np.concatenate(self.coefficients, axis=-1)  # (functions, determinants, electrons)
        shares = columns**2 * norms[:, None, None]
        weight = np.einsum("af,fkj->akj", of_nucleus, shares)
        decay = np.einsum("af,f,fkj->akj", of_nucleus, exponents, shares) / np.maximum(weight, 1e-30)
        nuclei = len(basis.charges)
        one = {
            "weight": np.sqrt(weight / weight.max(axis=0)).reshape(nuclei, -1).astype(dtype),
            "decay": np.clip(decay, 0.5, None).reshape(nuclei, -1).astype(dtype),
        }
        return [{name: array.copy() for name, array in one.items()} for _ in spins.channels]

    def init(self, dtype: str) -> dict[str, Any]:
        """Parameters: logarithms of the exponents (which stay positive), and the coefficients."""
        return {
            "log_exponents": np.log(self.exponents).astype(dtype),
            "coefficients": [c.reshape(len(c), -1).astype(dtype) for c in self.coefficients],
        }


def slater_determinant_orbitals(
    params: dict[str, Any], basis: SlaterBasis, spins: Spins, geometry: Geometry
) -> Float[Array, "determinants electrons electrons"]:
    """Orbital j at electron i for each determinant: block-diagonal in the spins."""
    functions = basis(jnp.exp(params["log_exponents"]), geometry)
    rows = []
    for channel, coefficients in zip(spins.channels, params["coefficients"], strict=True):
        size = channel.stop - channel.start
        block = (functions[channel] @ coefficients).reshape(size, -1, size)
        rows.append(jnp.pad(block, ((0, 0), (0, 0), (channel.start, spins.electrons - channel.stop))))
    return jnp.concatenate(rows, axis=0).transpose(1, 0, 2)


def fit_start(molecule: Molecule, basis_name: str, expansion: DeterminantExpansion) -> HartreeFockStart:
    """Fit the Gaussian orbitals of an expansion, which have no cusps, by Slater functions, which have them.

    Weighted least squares on points around the nuclei, dense near them and drawn with a fixed seed.
    """
    points, weights = _fitting_points(molecule)
    gaussians = pyscf_molecule(molecule, basis_name).eval_gto("GTOval_sph", points)
    basis, exponents = slater_basis(molecule.numbers)
    vectors = points[:, None, :] - molecule.positions
    lengths = np.linalg.norm(vectors, axis=-1)
    rates = cusp_rates(molecule.numbers)
    cusp = np.exp(np.sum(molecule.numbers / rates * np.exp(-rates * lengths), axis=-1))
    radial = lengths + np.expm1(-rates * lengths) / rates
    s = np.exp(-exponents[: len(basis.s_centers)] * radial[:, basis.s_centers])
    p = np.exp(-exponents[len(basis.s_centers) :] * radial[:, basis.p_centers])[..., None] * vectors[:, basis.p_centers]
    functions = np.concatenate([s, p.reshape(len(points), -1)], axis=-1) * (cusp * weights)[:, None]
    fitted, errors = [], []
    for orbitals, occupied in (
        (expansion.orbitals_up, expansion.up),
        (expansion.orbitals_down, expansion.down),
    ):
        if occupied.shape[1] == 0:
            continue
        targets = (gaussians @ orbitals) * weights[:, None]
        solution, error = _ridge(functions, targets)
        fitted.append(solution[:, occupied])
        errors.append(error[np.unique(occupied)].max())
    n_orbitals = sum(columns.shape[2] for columns in fitted)
    fitted = [columns * (np.abs(expansion.coefficients) ** (1 / n_orbitals))[:, None] for columns in fitted]
    fitted[0][:, :, 0] *= np.sign(expansion.coefficients)
    return HartreeFockStart(exponents, fitted, float(max(errors)))


def _ridge(functions: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of the regularised fit, and the relative error of each target."""
    size = functions.shape[1]
    scale = np.linalg.norm(functions, axis=0)
    matrix = np.concatenate([functions / scale, RIDGE * np.eye(size)])
    solution, *_ = np.linalg.lstsq(matrix, np.concatenate([targets, np.zeros((size, targets.shape[1]))]), rcond=None)
    solution = solution / scale[:, None]
    return solution, np.linalg.norm(functions @ solution - targets, axis=0) / np.linalg.norm(targets, axis=0)


def _fitting_points(molecule: Molecule) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, 3) around the nuclei, uniform in the logarithm of the distance, and the roots of their weights."""
    rng = np.random.default_rng(0)
    clouds, farthest = [], 8.0
    nearest = 0.01 / molecule.numbers
    for position, low in zip(molecule.positions, nearest, strict=True):
        direction = rng.standard_normal((POINTS_PER_NUCLEUS, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        radius = np.exp(rng.uniform(np.log(low), np.log(farthest), POINTS_PER_NUCLEUS))
        clouds.append(position + direction * radius[:, None])
    points = np.concatenate(clouds)
    r = np.linalg.norm(points[:, None, :] - molecule.positions, axis=-1)
    density = np.sum((r < farthest) / (4 * np.pi * r**3 * np.log(farthest / nearest)), axis=-1)
    return points, np.sqrt(1 / density)


def slater_basis(charges: np.ndarray) -> tuple[SlaterBasis, np.ndarray]:
    """A basis for a molecule, and its exponents: even-tempered, from valence orbitals up to the nuclear charge."""
    s = [np.geomspace(0.6, max(1.4, 2.0 * z), 3 if z <= 2 else 7) for z in charges]
    p = [np.geomspace(0.9, max(1.2, 0.5 * z), 1 if z <= 2 else 3) for z in charges]
    s_centers = tuple(int(i) for i, ladder in enumerate(s) for _ in ladder)
    p_centers = tuple(int(i) for i, ladder in enumerate(p) for _ in ladder)
    basis = SlaterBasis(s_centers, p_centers, tuple(int(z) for z in charges))
    return basis, np.concatenate([*s, *p])
