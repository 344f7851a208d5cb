"""Sums of full determinants, without overflow."""

from __future__ import annotations

import jax
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
    if orbitals.shape[0] == 1:
        (sign,), (log,) = _signs_and_logs(orbitals)
        return log, _phase(sign)
    # A determinant of no weight may be singular to the precision at hand; its derivatives, which are infinite, would
    # enter times zero.
    _, sizes = _signs_and_logs(jax.lax.stop_gradient(orbitals))
    counts = sizes > jnp.max(sizes) + 2 * jnp.log(jnp.finfo(sizes.dtype).eps)
    signs, logs = _signs_and_logs(
        jnp.where(counts[:, None, None], orbitals, jnp.eye(orbitals.shape[-1], dtype=orbitals.dtype))
    )
    largest = jnp.maximum(jnp.max(sizes), jnp.finfo(sizes.dtype).min)  # finite also where all determinants vanish
    total = jnp.sum(jnp.where(counts, signs * jnp.exp(logs - largest), 0))
    return jnp.log(jnp.abs(total)) + largest, _phase(total)


def _signs_and_logs(
    orbitals: Float[Array, "determinants electrons electrons"],
) -> tuple[Float[Array, " determinants"], Float[Array, " determinants"]]:
    if orbitals.shape[-1] == 1:
        values = orbitals[:, 0, 0]
        return jnp.sign(values), jnp.log(jnp.abs(values))
    signs, logs = jnp.linalg.slogdet(orbitals)
    return signs, logs


def _phase(value: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(value < 0, jnp.pi, 0.0).astype(value.dtype)
