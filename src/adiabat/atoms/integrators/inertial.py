"""What relaxations with inertia share: a velocity, and a time step that learns from going downhill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.integrators.relaxer import Relaxer, dot
from adiabat.atoms.per_system import PerSystem, per_system, varying
from adiabat.config import setting


@dataclass(eq=False, kw_only=True)
class InertialRelaxer(Relaxer):
    """A relaxation whose time step grows after ``n_min`` steps downhill and shrinks where it goes uphill.

    Masses are 1, so times are in angstrom sqrt(amu/eV), about 10.2 fs.
    """

    dt: PerSystem = varying(0.1, above=0, unit="angstrom sqrt(amu/eV)", help="time step to begin with")
    dt_max: PerSystem = varying(1.0, above=0, unit="angstrom sqrt(amu/eV)", help="longest time step")
    n_min: int = setting(5, min=0, help="steps downhill before the time step grows")
    f_inc: float = setting(1.1, min=1, help="growth of the time step")
    f_dec: float = setting(0.5, above=0, max=1, help="shrinkage of the time step where it goes uphill")
    alpha_start: float = setting(0.1, above=0, max=1, help="how far velocities are turned towards the forces")
    f_alpha: float = setting(0.99, above=0, max=1, help="decay of that")

    def start(self, batch: Batch, forces: Float[Array, "S M 3"]) -> dict[str, Any]:
        """Rows of a system at rest, which has not gone uphill for having no velocity yet."""
        per_slot = (batch.n_systems,)
        return {
            "velocity": jnp.zeros_like(forces),
            "dt": per_system(self.dt, batch),
            "alpha": jnp.full(per_slot, self.alpha_start, jnp.float64),
            "n_downhill": jnp.zeros(per_slot, jnp.int32),
            "resting": jnp.ones(per_slot, bool),
        }


def mixed(
    velocity: Float[Array, "S M 3"], forces: Float[Array, "S M 3"], alpha: Float[Array, " S"]
) -> Float[Array, "S M 3"]:
    """``(1 - alpha) v + alpha F |v| / |F|``: velocities turned towards the forces; without forces, as they are."""
    norm = jnp.sqrt(dot(forces, forces))
    along = jnp.where(norm > 0, jnp.sqrt(dot(velocity, velocity)) / jnp.where(norm > 0, norm, 1.0), 0.0)
    return (1 - alpha)[:, None, None] * velocity + (alpha * along)[:, None, None] * forces
