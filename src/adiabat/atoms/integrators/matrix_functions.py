"""Functions of many 3 x 3 matrices at a time, without a call to LAPACK for each.

The exponential of `jax.scipy.linalg` serves any size and norm, at twice the time and four times the compilation.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Matrix = Float[Array, "*batch 3 3"]

_NODES, _WEIGHTS = (np.asarray(x)[:, None, None] for x in np.polynomial.legendre.leggauss(16))
_HALVINGS, _DEGREE = 4, 10


def product(a: Float[Array, "*batch M 3"], b: Matrix) -> Float[Array, "*batch M 3"]:
    """``a b``, of rows (M, 3) with a matrix each."""
    return jnp.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)


def transpose(a: Matrix) -> Matrix:
    """``a^T``."""
    return jnp.swapaxes(a, -1, -2)


def inverse(a: Matrix) -> Matrix:
    """``a^-1`` by cofactors."""
    rows = a[..., 0, :], a[..., 1, :], a[..., 2, :]
    cofactors = jnp.stack([jnp.cross(rows[1], rows[2]), jnp.cross(rows[2], rows[0]), jnp.cross(rows[0], rows[1])], -1)
    determinant = jnp.sum(rows[0] * cofactors[..., :, 0], axis=-1)
    return cofactors / determinant[..., None, None]


def exponential(a: Matrix) -> Matrix:
    """``exp a`` by scaling and squaring of its power series, to rounding for norms up to 2."""
    identity, small = jnp.eye(3, dtype=a.dtype), a / 2**_HALVINGS
    result = identity + small / _DEGREE
    for k in range(_DEGREE - 1, 0, -1):
        result = identity + product(small, result) / k
    for _ in range(_HALVINGS):
        result = product(result, result)
    return result


def logarithm(a: Matrix) -> Matrix:
    """Principal ``log a = integral_0^1 (a - 1) (1 + t (a - 1))^-1 dt`` by Gauss-Legendre quadrature of 16 points.

    That is the Pade approximant of order 16, to rounding for eigenvalues from 1/4 to 4; for larger ones an
    approximation (1e-9 at 10). Dieci, Morini and Papini, SIAM J. Matrix Anal. Appl. 17, 570 (1996).
    """
    identity = jnp.eye(3, dtype=a.dtype)
    change = (a - identity)[..., None, :, :]
    t, weight = 0.5 * (1 + _NODES), 0.5 * _WEIGHTS
    return jnp.sum(
        weight * product(jnp.broadcast_to(change, (*a.shape[:-2], 16, 3, 3)), inverse(identity + t * change)), axis=-3
    )
