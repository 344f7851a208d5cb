"""Steepest descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.integrators.relaxer import Relaxer
from adiabat.atoms.per_system import PerSystem, per_system, varying


@dataclass(eq=False, kw_only=True, repr=False)
class GradientDescent(Relaxer):
    """``x += a F``, shortened to ``max_step``. Slow and sure: stable while a is below 2 over the largest curvature."""

    step_size: PerSystem = varying(0.01, above=0, unit="angstrom**2/eV", help="step a along the forces")

    def move(self, batch: Batch, forces: Float[Array, "S M 3"]) -> tuple[Float[Array, "S M 3"], dict[str, Any]]:
        """Along the forces."""
        step = per_system(self.step_size, batch)
        return self.clamped(batch, step[:, None, None] * forces), {}
