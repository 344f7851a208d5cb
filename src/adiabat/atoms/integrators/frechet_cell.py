"""Cells that relax: the logarithm of their deformation as three rows of coordinates beside those of the atoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.integrators.matrix_functions import exponential, inverse, logarithm, product, transpose
from adiabat.atoms.per_system import PerSystem, normalize, per_system, varying
from adiabat.config import setting
from adiabat.errors import InputError
from adiabat.units import GPA_PER_EV_PER_CUBIC_ANGSTROM

_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])  # where xx, yy, zz, yz, xz, xy stand in a matrix


@dataclass(frozen=True, kw_only=True)
class FrechetCell:
    """How the cell of a relaxation moves, with ``relaxer(cell=FrechetCell())``; by the rule of ASE's FrechetCellFilter.

    ==========================  ==========================================================================
    ``C = C_0 F^T``             cell, lattice vectors in rows; F its deformation since the relaxation began
    ``x = F x_0``               atoms; what moves freely is x_0, under the forces ``F^T f``
    ``U = c log F``             coordinates of the cell; c the number of atoms, so that all are alike stiff
    ``W = -V (sigma + P)``      virial, in which what is not to relax is set to zero
    ``L_exp(log F)^T W F^-T``   force on log F; L_exp(U) is the derivative of exp at U, which Frechet defined
    ==========================  ==========================================================================

    The adjoint of ``L_exp(U)`` is ``L_exp(U^T)``, so that one directional derivative of exp gives all nine components.
    Tadmor, Smith, Bernstein and Kaxiras, Phys. Rev. B 59, 235 (1999) for coordinates that move with the cell; Higham,
    Functions of Matrices (SIAM, 2008), ch. 3 and 10 for the derivative.

    Fixed atoms stay where they are with respect to the lattice vectors. A system without a cell keeps being without.
    """

    hydrostatic: bool = setting(False, help="only the volume relaxes, the shape stays")
    constant_volume: bool = setting(False, help="only the shape relaxes, the volume stays")
    mask: tuple[bool, ...] | None = setting(
        None, help="which components of the strain relax: xx, yy, zz, yz, xz, xy; null: all"
    )
    pressure: PerSystem = varying(0.0, unit="GPa", help="pressure from outside")
    cell_factor: float | None = setting(None, above=0, help="factor c of the cell's coordinates; null: number of atoms")

    def __post_init__(self) -> None:
        normalize(self)
        if self.hydrostatic and self.constant_volume:
            raise InputError("FrechetCell: hydrostatic and constant_volume together leave nothing to relax; choose one")
        if self.mask is not None and (len(self.mask) != 6 or not any(self.mask)):
            raise InputError(
                f"FrechetCell.mask: got {self.mask!r}; expected six truth values for xx, yy, zz, yz, xz, xy, some true"
            )

    def start(self, batch: Batch) -> dict[str, Any]:
        """The row ``reference_cell`` (S, 3, 3): the cell that deformations refer to."""
        return {"reference_cell": _cells(batch)}

    def forces(self, batch: Batch, atom_forces: Float[Array, "S N 3"]) -> Float[Array, "S M 3"]:
        """Forces on x_0 in eV/angstrom, and after them on U in eV, the three rows that stand for the cell."""
        deformation = _deformation(batch)
        rows = self._forces_on_log(batch, deformation) / self._factor(batch)
        return jnp.concatenate([product(atom_forces, deformation), rows], axis=1)

    def displace(self, batch: Batch, displacement: Float[Array, "S M 3"]) -> Batch:
        """The batch with x_0 and U displaced, hence atoms and cell."""
        old = _deformation(batch)
        of_atoms, of_cell = displacement[:, :-3], displacement[:, -3:]
        new = exponential(logarithm(old) + of_cell / self._factor(batch))
        new = jnp.eye(3) + self._mask * (new - jnp.eye(3))
        positions = product(product(batch.positions, transpose(inverse(old))) + of_atoms, transpose(new))
        cell = product(batch.own["reference_cell"], transpose(new))
        return batch.replace(
            positions=jnp.where(batch.real[..., None], positions, batch.positions),
            cell=jnp.where(_has_cell(batch), cell, batch.cell),
        )

    def observables(self, batch: Batch) -> Mapping[str, Float[Array, " S"]]:
        """``cell_force``, the longest of the cell's three rows of forces in eV, which ASE compares with the same
        threshold as the forces on atoms; ``enthalpy`` ``E + P V`` in eV, which the relaxation brings down."""
        rows = self._forces_on_log(batch, _deformation(batch)) / self._factor(batch)
        return {
            "cell_force": jnp.sqrt(jnp.max(jnp.sum(rows**2, axis=2), axis=1)),
            "enthalpy": batch.energy + self._pressure(batch) * batch.volume,
        }

    def _forces_on_log(self, batch: Batch, deformation: Float[Array, "S 3 3"]) -> Float[Array, "S 3 3"]:
        virial = self._virial(batch)
        on_deformation = product(virial, transpose(inverse(deformation)))
        _, on_log = jax.jvp(exponential, (transpose(logarithm(deformation)),), (on_deformation,))
        if self.constant_volume:
            # The trace of log F is the logarithm of the volume; only what relaxes can make up for it.
            diagonal = jnp.eye(3) * self._mask
            trace = jnp.sum(diagonal * on_log, axis=(1, 2), keepdims=True)
            on_log = on_log - diagonal * trace / max(float(np.trace(self._mask)), 1.0)
        return on_log

    def _virial(self, batch: Batch) -> Float[Array, "S 3 3"]:
        stress = batch.stress + self._pressure(batch)[:, None, None] * jnp.eye(3)
        virial = -batch.volume[:, None, None] * stress
        if self.hydrostatic:
            virial = jnp.trace(virial, axis1=1, axis2=2)[:, None, None] / 3 * jnp.eye(3)
        return self._mask * virial

    def _pressure(self, batch: Batch) -> Float[Array, " S"]:
        return per_system(self.pressure, batch) / GPA_PER_EV_PER_CUBIC_ANGSTROM

    def _factor(self, batch: Batch) -> Float[Array, "S 1 1"]:
        n_atoms = jnp.maximum(batch.n_atoms, 1).astype(jnp.float64)
        return (n_atoms if self.cell_factor is None else jnp.full_like(n_atoms, self.cell_factor))[:, None, None]

    @property
    def _mask(self) -> Float[np.ndarray, "3 3"]:
        return np.ones((3, 3)) if self.mask is None else np.asarray(self.mask, np.float64)[_VOIGT]


def _has_cell(batch: Batch) -> Array:
    """Which systems have a cell that can deform, (S, 1, 1)."""
    return (batch.volume > 0)[:, None, None]


def _cells(batch: Batch) -> Float[Array, "S 3 3"]:
    """Cells; where there is none, that of unit cubes, which nothing deforms."""
    return jnp.where(_has_cell(batch), batch.cell, jnp.eye(3))


def _deformation(batch: Batch) -> Float[Array, "S 3 3"]:
    """F in ``C = C_0 F^T``."""
    return transpose(product(inverse(batch.own["reference_cell"]), _cells(batch)))
