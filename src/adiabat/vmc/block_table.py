"""Statistics of a run of any length in bounded memory, accumulated inside a compiled step.

The samples of each chain are summed in blocks of successive steps. A table of 256 blocks that is full is
halved by joining neighbours, after which a block holds twice the steps. What the table holds therefore
depends on the samples alone, not on where a run was interrupted, and the error of the mean of the blocks is
the error of the mean of the samples, so that `adiabat.vmc.statistics` treats both alike.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Real

from adiabat.vmc.statistics import Blocks, Estimate, estimate_blocks
from adiabat.vmc.statistics.blocks import MOST_BLOCKS


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BlockTable:
    """Sums over blocks of steps; a pytree.

    Attributes
    ----------
    sums : (blocks, chains) float64
        Sum of each chain's samples over the steps of the block; zero in rows not reached yet.
    squares : (blocks,) float64
        Sum over the block's samples of the squared deviation from the block's mean.
    length : int32
        Steps in a block.
    row, filled : int32
        The block being filled, and how many steps are in it already. When the last block is full, ``row``
        is one past it until the next sample comes.
    nonfinite : int64
        Samples that were NaN or infinite. They enter the sums, which then are not finite either.
    """

    # Any, because transformations of trees also make tables of shapes, of shardings, and of many systems.
    sums: Any
    squares: Any
    length: Any
    row: Any
    filled: Any
    nonfinite: Any


def init(n_chains: int, n_blocks: int = MOST_BLOCKS) -> BlockTable:
    """Make an empty table for ``n_chains`` chains, of ``8 * n_blocks * n_chains`` bytes.

    ``n_blocks`` is even. The arrays are NumPy's, so that nothing is compiled and float64 stays float64.
    """
    if n_chains < 1 or n_blocks < 2 or n_blocks % 2:
        raise ValueError(f"{n_chains} chains and {n_blocks} blocks, expected chains and an even number of blocks")
    return BlockTable(
        sums=np.zeros((n_blocks, n_chains), np.float64),
        squares=np.zeros(n_blocks, np.float64),
        length=np.int32(1),
        row=np.int32(0),
        filled=np.int32(0),
        nonfinite=np.int64(0),
    )


def add(table: BlockTable, samples: Real[Array, " chains"]) -> BlockTable:
    """Record one step: one sample of each chain, of any precision.

    For use inside a program compiled under ``jax.enable_x64``; elsewhere JAX would silently fall back to
    float32, which is a TypeError here.
    """
    if jnp.asarray(table.sums).dtype != jnp.float64:
        raise TypeError("a block table needs float64: call block_table.add under jax.enable_x64(True)")
    # A loop that runs once or not at all leaves the table in place, where `cond` would copy it every step;
    # for the same reason the row is replaced as a slice, not by `.at[].add`. (4096 chains: 16 us, not 900.)
    table = jax.tree.map(jnp.asarray, table)
    table = jax.lax.while_loop(lambda t: t.row == t.sums.shape[0], _join_neighbours, table)

    x = samples.astype(jnp.float64)
    n_chains = x.shape[0]
    block = jax.lax.dynamic_index_in_dim(table.sums, table.row, keepdims=False)
    mean = jnp.mean(x)
    squares = jnp.sum((x - mean) ** 2)
    before = (table.filled * n_chains).astype(jnp.float64)
    shift = mean - jnp.sum(block) / jnp.maximum(before, 1.0)
    squares = squares + shift**2 * before * n_chains / (before + n_chains)

    complete = table.filled + 1 == table.length
    return BlockTable(
        sums=jax.lax.dynamic_update_index_in_dim(table.sums, block + x, table.row, 0),
        squares=table.squares.at[table.row].add(squares),
        length=table.length,
        row=table.row + complete.astype(jnp.int32),
        filled=jnp.where(complete, jnp.int32(0), table.filled + jnp.int32(1)),
        nonfinite=table.nonfinite + jnp.sum(~jnp.isfinite(x), dtype=jnp.int64),
    )


def _join_neighbours(table: BlockTable) -> BlockTable:
    """Halve a table all of whose blocks are full."""
    sums, squares = jnp.asarray(table.sums), jnp.asarray(table.squares)
    n_blocks, n_chains = sums.shape
    samples = (table.length * n_chains).astype(jnp.float64)
    pairs = sums.reshape(n_blocks // 2, 2, n_chains)
    shifts = (pairs[:, 1].sum(axis=1) - pairs[:, 0].sum(axis=1)) / samples
    squares = squares.reshape(n_blocks // 2, 2).sum(axis=1) + shifts**2 * samples / 2.0
    return BlockTable(
        sums=jnp.concatenate([pairs.sum(axis=1), jnp.zeros((n_blocks // 2, n_chains), jnp.float64)]),
        squares=jnp.concatenate([squares, jnp.zeros(n_blocks // 2, jnp.float64)]),
        length=table.length * jnp.int32(2),
        row=jnp.int32(n_blocks // 2),
        filled=jnp.int32(0),
        nonfinite=table.nonfinite,
    )


def is_empty(table: BlockTable) -> bool:
    """Whether a concrete table of one system holds no sample yet."""
    return int(table.row) == 0 and int(table.filled) == 0


def to_blocks(table: BlockTable) -> Blocks:
    """The blocks of a concrete table that hold samples, in host memory.

    Raises
    ------
    ValueError
        If no sample has been added, or the table still has a leading axis of systems.
    """
    sums = np.asarray(table.sums)
    if sums.ndim != 2:
        raise ValueError(f"sums have the shape {sums.shape}, expected (blocks, chains) of a single system")
    row, filled = int(table.row), int(table.filled)
    used = row + (filled > 0)
    if used == 0:
        raise ValueError("no samples have been added to the block table yet")
    steps = np.full(used, int(table.length))
    if filled:
        steps[-1] = filled
    return Blocks(sums[:used], np.asarray(table.squares)[:used], steps, int(table.nonfinite))


def estimate(table: BlockTable, *, detect_equilibration: bool = True) -> Estimate:
    """Mean, error and all else in `Estimate` of the samples added to a concrete table of one system."""
    return estimate_blocks(to_blocks(table), detect_equilibration=detect_equilibration)
