"""The fast inertial relaxation engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.integrators.inertial import InertialRelaxer, mixed
from adiabat.atoms.integrators.relaxer import dot
from adiabat.atoms.per_system import per_system


@dataclass(eq=False, kw_only=True, repr=False)
class FIRE(InertialRelaxer):
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
