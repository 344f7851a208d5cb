"""Sums of full determinants, without overflow."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def log_sum_of_determinants(
    orbitals: Float[Array, "determinants electrons electrons"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Logarithm of ``|sum_k det Phi_k|`` and the phase (0 or pi) of the sum.

    Parameters
    ----------
    orbitals : array (determinants, electrons, electrons)
        ``orbitals[k, i, j]``: orbital j of determinant k at electron i.
    """
    if orbitals.shape[-1] == 1:
        values = orbitals[:, 0, 0]
        signs, logs = jnp.sign(values), jnp.log(jnp.abs(values))
    else:
        signs, logs = jnp.linalg.slogdet(orbitals)
    if orbitals.shape[0] == 1:
        return logs[0], _phase(signs[0])
    largest = jnp.maximum(jnp.max(logs), jnp.finfo(logs.dtype).min)  # finite also where all determinants vanish
    total = jnp.sum(signs * jnp.exp(logs - largest))
    return jnp.log(jnp.abs(total)) + largest, _phase(total)


def _phase(value: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(value < 0, jnp.pi, 0.0).astype(value.dtype)
