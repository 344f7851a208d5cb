"""The Hartree-Fock wavefunction at given electron positions: what pretraining fits and first samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.electrons.gaussian_orbitals import GaussianBasis, evaluate


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OccupiedOrbitals:
    """Occupied molecular orbitals of each spin as combinations of atomic orbitals; a pytree.

    Args:
        basis: the atomic orbitals.
        up: (orbitals, n_up), one column per spin-up electron.
        down: (orbitals, n_down).
    """

    basis: GaussianBasis
    up: Float[Any, "orbitals n_up"]
    down: Float[Any, "orbitals n_down"]


def molecular_orbitals(
    occupied: OccupiedOrbitals, x: Float[Array, "electrons 3"]
) -> tuple[Float[Array, "n_up n_up"], Float[Array, "n_down n_down"]]:
    """The Slater matrices of one walker: rows are electrons, columns the occupied orbitals of their spin.

    Args:
        x: electron positions, (n, 3), bohr, spin up first; the result has its precision.
    """
    n_up = occupied.up.shape[1]
    atomic = evaluate(occupied.basis, x)
    precise = jax.lax.Precision.HIGHEST
    up = jnp.matmul(atomic[:n_up], jnp.asarray(occupied.up, x.dtype), precision=precise)
    down = jnp.matmul(atomic[n_up:], jnp.asarray(occupied.down, x.dtype), precision=precise)
    return up, down


def log_slater_determinant(
    occupied: OccupiedOrbitals, x: Float[Array, "electrons 3"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """log|Phi| and the sign of the Hartree-Fock wavefunction Phi = det(up) det(down) for one walker."""
    signs, logs = zip(*(_slogdet(matrix) for matrix in molecular_orbitals(occupied, x)), strict=True)
    return logs[0] + logs[1], signs[0] * signs[1]


def _slogdet(matrix: Float[Array, "n n"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    if matrix.shape[0] == 0:  # no electrons of this spin: an empty determinant is one
        return jnp.ones((), matrix.dtype), jnp.zeros((), matrix.dtype)
    sign, log = jnp.linalg.slogdet(matrix)
    return sign, log
