"""Forces no larger than a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from adiabat.atoms.batch import Batch
from adiabat.engine import HookStageEnum, checked_frequency
from adiabat.errors import InputError

__all__ = ["MaxForceClamp"]


@dataclass(frozen=True)
class MaxForceClamp:
    """Shortens the force on every atom to at most `max_force`, its direction kept, before anything moves along it.

    For starts in which atoms overlap. Compiled into the step; it acts on the forces with which a system begins, too.
    Energies stay as they are, so they are not conserved while it acts. The logged `fmax` is that of before, which shows
    whether it does; a force that is not a number stays one, and its system fails. On steps without it (`frequency`)
    forces are whatever the potential says.

    Args:
        max_force: eV/angstrom.
        frequency: every so many steps of the run.

    Raises:
        InputError: the force is not positive, or the frequency no positive integer.
    """

    max_force: float
    frequency: int = 1

    stage: ClassVar[HookStageEnum] = HookStageEnum.AFTER_COMPUTE
    traced: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.max_force > 0:
            raise InputError(f"max_force is {self.max_force}; expected a positive number, in eV/angstrom")
        checked_frequency(self.frequency, "MaxForceClamp")

    def __call__(self, batch: Batch, dynamics: Any) -> Batch:
        """The batch with shorter forces."""
        del dynamics
        size = jnp.sqrt(jnp.sum(batch.forces**2, axis=-1, keepdims=True))
        too_large = size > self.max_force
        # An infinite force has no direction.
        shorter = batch.forces * (self.max_force / jnp.where(too_large, size, 1.0))
        return batch.replace(forces=jnp.where(too_large & jnp.isfinite(size), shorter, batch.forces))
