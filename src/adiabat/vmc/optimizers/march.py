"""MARCH: a metric on the parameters from the variance of their scores, or from how much their direction changes."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = float | Float[Array, ""]


def from_variances(
    metric: Float[Array, " parameters"], variances: Float[Array, " parameters"], decay: Scalar, eps: Scalar
) -> Float[Array, " parameters"]:
    """Running mean of the variances of the scores, in units of their mean over the parameters that have any."""
    varies = variances > eps
    mean = jnp.sum(jnp.where(varies, variances, 0)) / jnp.maximum(jnp.sum(varies), 1)
    in_units = variances / jnp.where(mean > 0, mean, 1)
    return jnp.where(varies, decay * metric + (1 - decay) * in_units, metric)


def from_changes(
    metric: Float[Array, " parameters"], change: Float[Array, " parameters"], decay: Scalar
) -> Float[Array, " parameters"]:
    """Running mean of the squared change of the direction from step to step."""
    return decay * metric + (1 - decay) * change**2


def scale(metric: Float[Array, " parameters"], eps: Scalar) -> Float[Array, " parameters"]:
    """``metric^-1/4``: the root of the inverse metric ``(metric + eps)^-1/2`` by which the scores are scaled."""
    return (metric + eps) ** -0.25
