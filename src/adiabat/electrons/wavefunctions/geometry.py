"""Vectors and distances between the particles, computed once for all parts of a wavefunction."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

PAIR_RATE = 3.0
"""Rate of the cuspless length between electrons, 1/bohr."""
CUSP_RATE = 1.5
"""The nuclear cusp is carried by a Jastrow factor of range 1 / (CUSP_RATE * Z)."""


@dataclass(frozen=True)
class Geometry:
    """Electrons relative to the nuclei and to each other, in bohr."""

    nuclear_vectors: Float[Array, "electrons nuclei 3"]
    nuclear_lengths: Float[Array, "electrons nuclei"]
    pair_vectors: Float[Array, "electrons electrons 3"]
    pair_lengths: Float[Array, "electrons electrons"]


def geometry(x: Float[Array, "electrons 3"], nuclei: np.ndarray) -> Geometry:
    """Vectors and lengths; the diagonal of the pairs is zero, with a finite derivative."""
    nuclear = x[:, None, :] - jnp.asarray(nuclei, x.dtype)[None, :, :]
    pairs = x[:, None, :] - x[None, :, :]
    diagonal = jnp.eye(len(x), dtype=x.dtype)
    pair_lengths = jnp.sqrt(jnp.sum(pairs * pairs, axis=-1) + diagonal) * (1 - diagonal)
    return Geometry(nuclear, jnp.sqrt(jnp.sum(nuclear * nuclear, axis=-1)), pairs, pair_lengths)


def cuspless_length(distances: Float[Array, "*rows"], rate: np.ndarray | float) -> Float[Array, "*rows"]:
    """``r - (1 - exp(-b r)) / b``: a distance with zero slope where two particles meet.

    It is r, less a constant, beyond 1/b. Functions of it leave the cusps to the Jastrow factor, which has them exactly,
    and together with a factor ``exp((Z / b) exp(-b r))`` they hold ``exp(-Z r)`` without error.
    """
    b = jnp.asarray(rate, distances.dtype)
    return distances + jnp.expm1(-b * distances) / b


def resolved_features(
    vectors: Float[Array, "*rows 3"], cuspless: Float[Array, "*rows"], rate: np.ndarray | float
) -> Float[Array, "*rows 4"]:
    """``(log(1 + b s), r_vec b / (1 + b s))``: features that resolve distances of 1/b, in the core of an atom, and grow
    slowly far out, where the vector keeps its direction only. Without a cusp, as the length s is."""
    b = jnp.asarray(rate, cuspless.dtype)
    scale = b / (1 + b * cuspless)
    return jnp.concatenate([jnp.log1p(b * cuspless)[..., None], vectors * scale[..., None]], axis=-1)


def cusp_rates(charges: np.ndarray) -> np.ndarray:
    """The rate b of each nucleus in `cuspless_length` and in the nuclear Jastrow factor, 1/bohr."""
    return CUSP_RATE * np.asarray(charges, np.float64)
