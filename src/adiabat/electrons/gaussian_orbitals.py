"""Contracted Gaussian orbitals evaluated in JAX, so that Hartree-Fock orbitals exist wherever an electron is.

An atomic orbital is a contraction of Gaussians times a real solid harmonic about a nucleus,

    chi(r) = sum_k c_k exp(-a_k |r - R|^2)  S_lm(r - R),     S_lm(r) = |r|^l Y_lm(r),

a polynomial times exponentials of the squared distance: smooth at the nuclei, to any derivative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GaussianShells:
    """All shells of one angular momentum l; a shell is 2l + 1 atomic orbitals with a common radial part.

    Args:
        exponents: bohr^-2, padded with zeros to the longest contraction.
        coefficients: of the primitives, with their radial normalisation; padded with zeros.
        angular_momentum: l.
        atoms: the nucleus each shell sits on.
        columns: where the orbitals of each shell begin among all atomic orbitals.
    """

    exponents: Float[Any, "shells primitives"]
    coefficients: Float[Any, "shells primitives"]
    angular_momentum: int = field(metadata={"static": True})
    atoms: tuple[int, ...] = field(metadata={"static": True})
    columns: tuple[int, ...] = field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GaussianBasis:
    """The atomic orbitals of a molecule: a pytree, so it can be an argument of a compiled function.

    Args:
        centers: of the nuclei, (A, 3), bohr.
        shells: one `GaussianShells` for each angular momentum that occurs.
    """

    centers: Float[Any, "atoms 3"]
    shells: tuple[GaussianShells, ...]

    @property
    def n_orbitals(self) -> int:
        return sum((2 * group.angular_momentum + 1) * len(group.atoms) for group in self.shells)


def evaluate(basis: GaussianBasis, r: Float[Array, "*batch 3"]) -> Float[Array, "*batch orbitals"]:
    """Values of all atomic orbitals at the points r (bohr), in the precision of r.

    Order and normalisation are those of PySCF's spherical orbitals: by atom, shell and m = -l .. l, but x, y,
    z for l = 1.
    """
    displacements = r[..., None, :] - jnp.asarray(basis.centers, r.dtype)
    squared_distances = jnp.sum(displacements**2, axis=-1)
    harmonics = solid_harmonics(displacements, max(group.angular_momentum for group in basis.shells))
    values = []
    for group in basis.shells:
        atoms = np.array(group.atoms)
        exponents, coefficients = (jnp.asarray(array, r.dtype) for array in (group.exponents, group.coefficients))
        radial = jnp.sum(coefficients * jnp.exp(-exponents * squared_distances[..., atoms, None]), axis=-1)
        angular = harmonics[group.angular_momentum][..., atoms, :]
        values.append((radial[..., None] * angular).reshape(*r.shape[:-1], -1))
    return jnp.concatenate(values, axis=-1)[..., _column_order(basis)]


def _column_order(basis: GaussianBasis) -> np.ndarray:
    columns = [
        np.array(group.columns)[:, None] + np.arange(2 * group.angular_momentum + 1)[None, :] for group in basis.shells
    ]
    return np.argsort(np.concatenate([group.ravel() for group in columns]))


def solid_harmonics(r: Float[Array, "*batch 3"], highest: int) -> list[Float[Array, "*batch m"]]:
    """Real solid harmonics |r|^l Y_lm for l = 0 .. highest, each (..., 2l + 1).

    Ordered m = -l .. l, but x, y, z for l = 1. By the recursions of Helgaker, Jorgensen and Olsen, Molecular
    Electronic-Structure Theory (2000), section 6.4.8, whose harmonics lack the factor sqrt((2l + 1) / 4 pi).
    """
    x, y, z = r[..., 0], r[..., 1], r[..., 2]
    squared = x**2 + y**2 + z**2
    table = {(0, 0): jnp.ones_like(x)}
    for n in range(highest):  # degree n + 1 from degrees n and n - 1
        for m in range(-n, n + 1):
            lower = math.sqrt((n + m) * (n - m)) * squared * table[n - 1, m] if abs(m) < n else 0.0
            table[n + 1, m] = ((2 * n + 1) * z * table[n, m] - lower) / math.sqrt((n + m + 1) * (n - m + 1))
        cosine, sine = table[n, n], table[n, -n] if n else jnp.zeros_like(x)
        scale = math.sqrt((2 if n == 0 else 1) * (2 * n + 1) / (2 * n + 2))
        table[n + 1, n + 1] = scale * (x * cosine - y * sine)
        table[n + 1, -n - 1] = scale * (y * cosine + x * sine)
    order = [[1, -1, 0] if n == 1 else list(range(-n, n + 1)) for n in range(highest + 1)]
    return [
        math.sqrt((2 * n + 1) / (4 * math.pi)) * jnp.stack([table[n, m] for m in order[n]], axis=-1)
        for n in range(highest + 1)
    ]
