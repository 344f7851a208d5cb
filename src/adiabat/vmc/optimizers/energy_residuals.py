"""The residuals of the local energies as the right-hand side for real parameters."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact


def as_rows(residuals: Inexact[Array, " walkers"], parts: int) -> Float[Array, " rows"]:
    """One row a walker for a real log psi; for a complex one real parts, then imaginary ones, zero where there are
    none."""
    return residuals.real if parts == 1 else jnp.concatenate([residuals.real, residuals.imag])
