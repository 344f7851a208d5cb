"""Products of rows with rows: in which precision, and in tiles on and above the diagonal only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

PyTree = Any
TILES = 8
"""Tiles along the side of a symmetric product, at least; only those on and above its diagonal are multiplied."""
TILE_ROWS = 1024
"""Rows that enter a tile, at most: what is held besides the result is some tiles, however long the sides."""


@dataclass(frozen=True)
class RowProducts:
    """How rows are multiplied with rows.

    Parameters
    ----------
    factors : dtype
        Precision of the rows in each product; None: their own.
    sums : dtype
        Precision in which products are added up.
    """

    factors: Any = None
    sums: Any = jnp.float64

    def outer(self, a: Float[Array, "n k"], b: Float[Array, "m k"]) -> Float[Array, "n m"]:
        """``a b^T``. Never in the short formats that some accelerators multiply float32 in by default."""
        if self.factors is not None:
            a, b = a.astype(self.factors), b.astype(self.factors)
        return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)

    def gram(self, rows: Float[Array, "n k"]) -> Float[Array, "n n"]:
        """``rows rows^T``."""
        return self.symmetric(rows, self.outer)

    def symmetric(
        self, arrays: PyTree, tile: Callable[[PyTree, PyTree], Array], *, repeats: int = 1
    ) -> Float[Array, "n n"]:
        """A symmetric matrix of tiles, each a function of some rows of the arrays (n, ...) and some others.

        ``repeats`` are the rows that one row of the arrays stands for in a product.
        """
        count = len(jax.tree.leaves(arrays)[0])
        tiles = min(count, max(TILES, math.ceil(count * repeats / TILE_ROWS)))
        side = math.ceil(count / tiles)

        def blocked(a: Array) -> Array:
            padded = jnp.pad(a, [(0, tiles * side - count)] + [(0, 0)] * (a.ndim - 1))
            return padded.reshape(tiles, side, *a.shape[1:])

        blocks = jax.tree.map(blocked, arrays)
        pairs = jnp.asarray([*itertools.combinations_with_replacement(range(tiles), 2)])

        def one(pair: Array) -> Array:
            here, there = (jax.tree.map(lambda a, end=end: a[pair[end]], blocks) for end in (0, 1))
            return tile(here, there).astype(self.sums)

        upper = jax.lax.map(one, pairs)
        result = jnp.zeros((tiles, tiles, side, side), self.sums)
        result = result.at[pairs[:, 1], pairs[:, 0]].set(jnp.swapaxes(upper, 1, 2))
        result = result.at[pairs[:, 0], pairs[:, 1]].set(upper)
        return jnp.swapaxes(result, 1, 2).reshape(tiles * side, tiles * side)[:count, :count]
