"""Jastrow factors that carry the cusps exactly (Kato, Commun. Pure Appl. Math. 10, 151, 1957)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.electrons.wavefunctions.geometry import Geometry, cusp_rates
from adiabat.electrons.wavefunctions.spins import Spins

Jastrow = dict[str, Any]


def init_electron_jastrow(*, length: float = 1.0, dtype: str = "float32") -> Jastrow:
    """Raw parameters of the ranges for parallel and antiparallel spins, both ``length`` bohr at the start."""
    return {"range": np.full(2, np.log(np.expm1(length)), dtype)}


def electron_jastrow(params: Jastrow, spins: Spins, geometry: Geometry) -> Float[Array, ""]:
    """``-sum_{i<j} c a**2 / (a + r_ij)`` with c = 1/4 for parallel and 1/2 for antiparallel spins.

    The slope at r_ij = 0 is c whatever the range a, and a = softplus(parameter) stays positive, so that the factor
    has no pole.
    """
    r = geometry.pair_lengths[spins.pairs]
    ranges = jax.nn.softplus(params["range"])
    a = jnp.where(spins.parallel, ranges[0], ranges[1])
    cusp = jnp.asarray(np.where(spins.parallel, 0.25, 0.5), r.dtype)
    return -jnp.sum(cusp * a * a / (a + r))


def nuclear_jastrow(charges: np.ndarray, geometry: Geometry) -> Float[Array, ""]:
    """``sum_iI (Z_I / b_I) exp(-b_I r_iI)``: slope -Z_I at every nucleus, short-ranged, never singular."""
    r = geometry.nuclear_lengths
    b = jnp.asarray(cusp_rates(charges), r.dtype)
    return jnp.sum(jnp.asarray(charges, r.dtype) / b * jnp.exp(-b * r))
