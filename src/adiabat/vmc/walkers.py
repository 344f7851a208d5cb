"""Functions of one walker, evaluated over all of them: in chunks that suit the caches, on all devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from adiabat.errors import InputError

PyTree = Any
WALKERS = "walkers"
"""Name of the mesh axis over which walkers are spread."""


def n_walkers(walkers: PyTree) -> int:
    """Number of walkers: the length of the first axis of all their fields."""
    return int(jax.tree.leaves(walkers)[0].shape[0])


def over_walkers(
    function: Callable[..., PyTree], *, chunk: int | None = None, mesh: Mesh | None = None
) -> Callable[[PyTree, PyTree], PyTree]:
    """Turn ``function(params, walker)`` into one of ``(params, walkers)`` with a leading walker axis.

    Parameters
    ----------
    function : callable
        Of the parameters and one walker.
    chunk : int, optional
        Walkers evaluated at a time on each device; all at once when not given. It changes speed and memory, the
        results only by rounding.
    mesh : jax.sharding.Mesh, optional
        Devices over which the walkers are spread.
    """

    def on_one_device(params: PyTree, walkers: PyTree) -> PyTree:
        if chunk is None or chunk >= n_walkers(walkers):
            return jax.vmap(lambda walker: function(params, walker))(walkers)
        return jax.lax.map(lambda walker: function(params, walker), walkers, batch_size=chunk)

    if mesh is None or mesh.size == 1:
        return on_one_device
    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(WALKERS)),
        out_specs=PartitionSpec(WALKERS),
        check_vma=False,
    )


def weighted_gradient(
    log_psi: Callable[..., jax.Array],
    params: PyTree,
    walkers: PyTree,
    weights: jax.Array,
    *,
    chunk: int | None = None,
    mesh: Mesh | None = None,
) -> PyTree:
    """Gradient of ``Re sum_n conj(weights_n) log_psi(params, x_n)`` by one backward pass, for a complex parameter z =
    x + i y as d/dx + i d/dy, against which it goes downhill.

    No gradient of a single walker is ever formed. ``weights`` has shape (walkers,) and the dtype of ``log_psi``.
    """

    def weighted_sum(params: PyTree) -> jax.Array:
        values = over_walkers(log_psi, chunk=chunk, mesh=mesh)(params, walkers)
        return jnp.sum(jnp.real(jnp.conj(weights) * values))

    return jax.tree.map(jnp.conj, jax.grad(weighted_sum)(params))


def walker_mesh(walkers: int) -> Mesh | None:
    """All devices of this process as a mesh for the walkers; None if there is one.

    Raises
    ------
    InputError
        If the walkers cannot be divided among the devices.
    """
    devices = jax.devices()
    if len(devices) == 1:
        return None
    if walkers % len(devices):
        lower = walkers - walkers % len(devices)
        raise InputError(
            f"{walkers} walkers cannot be divided among {len(devices)} devices; "
            f"take a multiple of {len(devices)}, such as {lower or len(devices)}"
        )
    return Mesh(np.array(devices), (WALKERS,))
