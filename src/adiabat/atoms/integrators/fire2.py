"""The fast inertial relaxation engine, second edition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.integrators.inertial import InertialRelaxer, mixed
from adiabat.atoms.integrators.relaxer import dot
from adiabat.atoms.per_system import PerSystem, per_system, varying
from adiabat.config import setting


@dataclass(eq=False, kw_only=True, repr=False)
class FIRE2(InertialRelaxer):
    """FIRE with a semi-implicit Euler step, which goes back where it went uphill.

    Visits the points that ASE's FIRE2 visits; masses are 1, so times are in angstrom sqrt(amu/eV), about 10.2 fs::

        P = F . v
        P > 0:  after n_min such steps: dt = min(f_inc dt, dt_max), alpha = f_alpha alpha
        else:   dt = max(f_dec dt, dt_min), alpha = alpha_start, x -= dt/2 v, v = 0, and F anew
        v += dt F
        v = (1 - alpha) v + alpha |v| F/|F|
        x += dt v, the whole step no longer than max_step

    Guenole, Noehring, Vaid, Houlle, Xie, Prakash and Bitzek, Comput. Mater. Sci. 175, 109584 (2020).

    A step here is one evaluation of the forces. Going back needs one of its own, so that it is a step of its own, after
    which the system rests: P is not asked for, and the step goes on from ``v += dt F``.
    """

    dt_min: PerSystem = varying(2e-3, above=0, unit="angstrom sqrt(amu/eV)", help="shortest time step")
    n_min: int = setting(20, min=0, help="steps downhill before the time step grows")
    alpha_start: float = setting(0.25, above=0, max=1, help="how far velocities are turned towards the forces")

    def move(self, batch: Batch, forces: Float[Array, "S M 3"]) -> tuple[Float[Array, "S M 3"], dict[str, Any]]:
        """One step of the rule above: on, or back."""
        rows = batch.own
        velocity, dt, alpha = rows["velocity"], rows["dt"], rows["alpha"]
        downhill = dot(forces, velocity) > 0
        uphill = ~downhill & ~rows["resting"]
        n_downhill = jnp.where(downhill, rows["n_downhill"] + 1, 0)
        faster = downhill & (n_downhill > self.n_min)

        dt = jnp.where(faster, jnp.minimum(self.f_inc * dt, per_system(self.dt_max, batch)), dt)
        dt = jnp.where(uphill, jnp.maximum(self.f_dec * dt, per_system(self.dt_min, batch)), dt)
        alpha = jnp.where(faster, self.f_alpha * alpha, jnp.where(uphill, self.alpha_start, alpha))
        onward = mixed(velocity + dt[:, None, None] * forces, forces, alpha)

        goes_back, time = uphill[:, None, None], dt[:, None, None]
        displacement = jnp.where(goes_back, -0.5 * time * velocity, self.clamped(batch, time * onward))
        return displacement, {
            "velocity": jnp.where(goes_back, 0.0, onward),
            "dt": dt,
            "alpha": alpha,
            "n_downhill": n_downhill,
            "resting": uphill,
        }
