"""How far an update of the parameters moves the state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.log_psi import LogPsi
from adiabat.vmc.protocols import Walker

WALKERS = 32
"""Walkers that are asked, at most: enough to know the length to an eighth of itself."""


def update_length(log_psi: LogPsi, params: Any, updates: Any, walkers: Walker) -> Float[Array, ""]:
    """Fubini-Study length of an update, to first order: the spread over walkers of the change of log psi."""

    def change(walker: Walker) -> Array:
        return jax.jvp(lambda p: log_psi(p, walker), (params,), (updates,))[1]

    return jnp.std(jax.vmap(change)(jax.tree.map(lambda field: field[:WALKERS], walkers))).astype(jnp.float32)
