"""How far an update of the parameters moves the state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from adiabat.vmc.log_psi import LogPsi
from adiabat.vmc.protocols import Walker
from adiabat.vmc.walkers import over_walkers


def update_length(
    log_psi: LogPsi, params: Any, updates: Any, walkers: Walker, *, chunk: int | None = None, mesh: Mesh | None = None
) -> Float[Array, ""]:
    """Fubini-Study length of an update, to first order: the spread over the walkers of the change of log psi."""

    def change(given: Any, walker: Walker) -> Array:
        params, updates = given
        return jax.jvp(lambda p: log_psi(p, walker), (params,), (updates,))[1]

    changes = over_walkers(change, chunk=chunk, mesh=mesh)((params, updates), walkers)
    return jnp.std(changes).astype(jnp.float32)
