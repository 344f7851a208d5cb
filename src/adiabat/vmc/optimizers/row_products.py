"""Products of rows with rows: in which precision, and only those on and above the diagonal."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

BLOCKS = 4
"""Row blocks of a symmetric product; only blocks on and above its diagonal are multiplied."""


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

    def symmetric(self, size: int, block: Callable[[slice, slice], Array]) -> Float[Array, "n n"]:
        """A symmetric matrix from ``block(rows, columns)`` of the blocks on and above its diagonal."""
        edges = [size * i // BLOCKS for i in range(BLOCKS + 1)]
        result = jnp.zeros((size, size), self.sums)
        for start, stop in itertools.pairwise(edges):
            if start < stop:
                block_row = block(slice(start, stop), slice(start, size))
                result = result.at[start:stop, start:].set(block_row.astype(self.sums))
        upper = jnp.triu(result)
        return upper + upper.T - jnp.diag(jnp.diag(upper))

    def gram(self, rows: Float[Array, "n k"]) -> Float[Array, "n n"]:
        """``rows rows^T``."""
        return self.symmetric(len(rows), lambda here, there: self.outer(rows[here], rows[there]))
