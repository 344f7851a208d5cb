"""What every relaxation shares: coordinates that move along forces, the cell's among them if asked."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.convergence import ConvergenceHook
from adiabat.atoms.dynamics import BaseDynamics
from adiabat.atoms.integrators.frechet_cell import FrechetCell
from adiabat.atoms.motion import constrained_forces, displace
from adiabat.atoms.per_system import PerSystem, normalize, per_system, varying
from adiabat.config import setting
from adiabat.errors import InputError


@dataclass(eq=False, kw_only=True, repr=False)
class Relaxer(BaseDynamics, abc.ABC):
    """Downhill in energy. A subclass says how far to go along given forces, whatever they act on.

    Forces and displacements are (S, M, 3): M = N atoms, or N + 3 where the cell relaxes too. What a relaxation knows of
    the past, its velocities too, is in private rows; ``batch.velocities`` are set to zero on entering, for a structure
    that is relaxed is at rest.
    """

    max_step: PerSystem = varying(
        0.2,
        above=0,
        unit="angstrom",
        help="longest step, by the norm over all coordinates of a system",
    )
    fmax: float | None = setting(
        None,
        above=0,
        unit="eV/angstrom",
        help="largest force of a system that has converged, the cell's included; null: as many steps as it may",
    )
    cell: FrechetCell | None = setting(None, help="how the cell relaxes; null: it stays")

    def __post_init__(self) -> None:
        if self.cell is not None:
            self.__needs_keys__ = type(self).__needs_keys__ | {"stress"}  # type: ignore[misc]
        super().__post_init__()
        normalize(self)
        if self.fmax is not None and self.convergence_hook is not None:
            raise InputError(
                f"{type(self).__name__} got both fmax = {self.fmax:g} and a convergence_hook, which both say when a "
                "system has converged: give one of them"
            )

    @property
    def criterion(self) -> ConvergenceHook | None:
        """That of `fmax`, which the cell's three rows of forces have to meet too where it relaxes, as in ASE."""
        if self.fmax is None:
            return super().criterion
        keys = ["fmax"] if self.cell is None else ["fmax", "cell_force"]
        return ConvergenceHook([{"key": key, "threshold": self.fmax} for key in keys])

    def check(self, batch: Batch) -> None:
        """See on the host whether every system can be relaxed so: a cell can only relax where there is one."""
        super().check(batch)
        if self.cell is None:
            return
        there = np.asarray(batch.numbers).any(axis=1)
        without = there & ~np.asarray(batch.cell).any(axis=(1, 2))
        if without.any():
            slot = int(without.argmax())
            which = slot if batch.clock is None else int(batch.system_id[slot])
            raise InputError(
                f"system {which} has no cell, and {type(self).__name__} is asked to relax it: "
                "leave the system out, or relax atoms only (cell: null)"
            )

    @abc.abstractmethod
    def move(self, batch: Batch, forces: Float[Array, "S M 3"]) -> tuple[Float[Array, "S M 3"], dict[str, Any]]:
        """Displacements in angstrom, and the private rows that changed."""

    def start(self, batch: Batch, forces: Float[Array, "S M 3"]) -> dict[str, Any]:
        """Private rows at the beginning."""
        del batch, forces
        return {}

    def init(self, batch: Batch) -> Batch:
        """The batch at rest, with the rows of the method and of the cell."""
        cell_rows = {} if self.cell is None else self.cell.start(batch)
        batch = batch.replace(velocities=jnp.zeros_like(jnp.asarray(batch.velocities)), own=cell_rows)
        return batch.replace(own={**cell_rows, **self.start(batch, self._forces(batch))})

    def pre_update(self, batch: Batch) -> Batch:
        """The whole step: after it, energies and forces are evaluated at the new positions."""
        displacement, rows = self.move(batch, self._forces(batch))
        batch = batch.replace(own={**batch.own, **rows})
        return displace(batch, displacement) if self.cell is None else self.cell.displace(batch, displacement)

    def observables(self, batch: Batch) -> Mapping[str, Float[Array, " S"]]:
        """With a cell that relaxes: ``cell_force``, for a criterion beside fmax, and ``enthalpy``."""
        return {} if self.cell is None else self.cell.observables(batch)

    def clamped(self, batch: Batch, displacement: Float[Array, "S M 3"]) -> Float[Array, "S M 3"]:
        """Displacements no longer than ``max_step``, as the norm over all coordinates of a system."""
        longest, norm = per_system(self.max_step, batch), jnp.sqrt(dot(displacement, displacement))
        factor = jnp.where(norm > longest, longest / jnp.maximum(norm, longest), 1.0)
        return factor[:, None, None] * displacement

    def _forces(self, batch: Batch) -> Float[Array, "S M 3"]:
        forces = jnp.asarray(constrained_forces(batch))
        return forces if self.cell is None else self.cell.forces(batch, forces)


def dot(a: Float[Array, "S M 3"], b: Float[Array, "S M 3"]) -> Float[Array, " S"]:
    """Scalar products over all coordinates of each system."""
    return jnp.sum(a * b, axis=(1, 2))
