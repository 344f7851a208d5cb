"""Atoms back into the cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from adiabat.atoms.batch import Batch
from adiabat.atoms.motion import moving
from adiabat.atoms.neighbors.lattice import fractional, periodic_part, reciprocal
from adiabat.engine import HookStageEnum, checked_frequency

__all__ = ["WrapPositions"]


@dataclass(frozen=True)
class WrapPositions:
    """Brings atoms that left the cell back by lattice vectors, along those directions only in which a system repeats.

    Without this hook positions are never wrapped: they are continuous in time, as diffusion and displacements need
    them, and everything works however far atoms have gone. With it, that continuity is lost. Energies and forces are
    the same to rounding. Fixed atoms stay where they are, outside the cell too; an atom within the cell keeps every
    bit. Neighbor lists are made anew when an atom is wrapped. Compiled into the step.

    Args:
        frequency: every so many steps of the run.

    Raises:
        InputError: the frequency is no positive integer.
    """

    frequency: int = 1

    stage: ClassVar[HookStageEnum] = HookStageEnum.AFTER_STEP
    traced: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_frequency(self.frequency, "WrapPositions")

    def __call__(self, batch: Batch, dynamics: Any) -> Batch:
        """The batch with all atoms in their cells."""
        del dynamics
        cell, pbc = jnp.asarray(batch.cell), jnp.asarray(batch.pbc)
        away = jnp.floor(fractional(jnp.asarray(batch.positions), reciprocal(cell, pbc)))
        shift = jnp.einsum("snk,ska->sna", away, periodic_part(cell, pbc), precision="highest")
        outside = moving(batch)[..., None] & jnp.any(away != 0, axis=-1, keepdims=True)
        return batch.replace(positions=jnp.where(outside, batch.positions - shift, batch.positions))
