"""The fast inertial relaxation engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.integrators.relaxer import Relaxer, dot, mixed
from adiabat.atoms.per_system import PerSystem, per_system
from adiabat.config import setting


@dataclass(eq=False, kw_only=True, repr=False)
class FIRE(Relaxer):
    """A ball that rolls downhill, is turned towards the slope, and stops dead where it would roll up.

    By the rule of ASE, step for step; masses are 1, so times are in angstrom sqrt(amu/eV), about 10.2 fs::

        P = F . v
        P > 0:  v = (1 - alpha) v + alpha |v| F/|F|
                after more than n_min such steps: dt = min(f_inc dt, dt_max), alpha = f_alpha alpha
        else:   v = 0, dt = f_dec dt, alpha = alpha_start          (not before the first step)
        v += dt F
        x += dt v, the whole step no longer than max_step

    Bitzek, Koskinen, Gaehler, Moseler and Gumbsch, Phys. Rev. Lett. 97, 170201 (2006). The number of steps downhill is
    compared with n_min before the present one is counted.
    """

    dt: PerSystem = setting(0.1, above=0, unit="angstrom sqrt(amu/eV)", help="time step to begin with")
    dt_max: PerSystem = setting(1.0, above=0, unit="angstrom sqrt(amu/eV)", help="longest time step")
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

    def move(self, batch: Batch, forces: Float[Array, "S M 3"]) -> tuple[Float[Array, "S M 3"], dict[str, Any]]:
        """One step of the rule above."""
        rows = batch.own
        velocity, dt, alpha, n_downhill = rows["velocity"], rows["dt"], rows["alpha"], rows["n_downhill"]
        downhill = dot(forces, velocity) > 0
        uphill = ~downhill & ~rows["resting"]
        faster = downhill & (n_downhill > self.n_min)

        velocity = jnp.where(downhill[:, None, None], mixed(velocity, forces, alpha), 0.0)
        dt = jnp.where(faster, jnp.minimum(self.f_inc * dt, per_system(self.dt_max, batch)), dt)
        dt = jnp.where(uphill, self.f_dec * dt, dt)
        alpha = jnp.where(faster, self.f_alpha * alpha, jnp.where(uphill, self.alpha_start, alpha))
        velocity = velocity + dt[:, None, None] * forces

        return self.clamped(batch, dt[:, None, None] * velocity), {
            "velocity": velocity,
            "dt": dt,
            "alpha": alpha,
            "n_downhill": jnp.where(downhill, n_downhill + 1, 0),
            "resting": jnp.zeros_like(downhill),
        }
