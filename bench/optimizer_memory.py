"""Memory of an update by stochastic reconfiguration, as the compiler plans it: by walkers and by size of the network.

The plan is exact and needs no run: the buffers that the compiled program holds besides its inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from adiabat.vmc.optimizers import SROptimizer
from bench.rows import Row
from bench.workload import Workload

SIZES = {"4 x 64": 64, "4 x 256": 256}
"""One-electron widths of FermiNet with 4 layers and 16 determinants."""
GROUP = "memory of an update by SPRING: FermiNet, LiH"


def measure(walkers: Sequence[int] = (128, 256, 512, 1024, 2048), sizes: Sequence[str] = tuple(SIZES)) -> list[Row]:
    """Planned memory of an update, beside that of all scores and that of the terms it should grow as.

    Parameters
    ----------
    walkers : sequence of int
    sizes : sequence of str
        Of `SIZES`.
    """
    with jax.enable_x64(True):
        return [_row(size, count) for size in sizes for count in walkers]


def _row(size: str, walkers: int) -> Row:
    settings = {"size": "default", "one_electron_width": SIZES[size]}
    workload = Workload(walkers=walkers, settings=settings)
    plan = workload.plan("sr")
    optimizer = plan.train.optimizer
    assert isinstance(optimizer, SROptimizer)
    params = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, plan.wavefunction.init(0)))
    electrons = plan.wavefunction.spins.electrons
    data = {"electrons": jax.ShapeDtypeStruct((walkers, electrons, 3), jnp.float32)}
    residuals = jax.ShapeDtypeStruct((walkers,), jnp.float32)

    def update(params: Any, state: Any, data: Any, residuals: Any) -> Any:
        return optimizer.update(None, state, params, batched_data=data, residuals=residuals)

    state = jax.eval_shape(optimizer.init, params)
    planned = jax.jit(update).lower(params, state, data, residuals).compile().memory_analysis()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    if planned is None:
        return Row(GROUP, f"{size}, {walkers} walkers", float("nan"), "MB", failure="the compiler tells no plan")
    held = planned.temp_size_in_bytes
    chunk = min(optimizer.score_chunk_size or walkers, walkers)
    everything = 4 * walkers * parameters
    remark = f"{parameters} parameters; all scores {everything / 1e6:.0f} MB, N^2 {8e-6 * walkers**2:.0f} MB"
    remark += f", chunk x P {4e-6 * chunk * parameters:.0f} MB"
    return Row(GROUP, f"{size}, {walkers} walkers", held / 1e6, "MB", None, remark)
