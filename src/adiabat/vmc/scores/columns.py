"""Scores of parameters that belong to no dense layer: columns that are held, or evaluated again when needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.scores.products import RowProducts
from adiabat.vmc.scores.program import ScoreProgram
from adiabat.vmc.walkers import n_walkers

PyTree = Any
SMALLEST = 8
"""Blocks this many times smaller than they might be are not worth their number."""


def equal_blocks(walkers: PyTree, chunk: int) -> PyTree:
    """Walkers with two leading axes (blocks, walkers), in the largest blocks of one size no larger than ``chunk``; in
    one block where only much smaller ones would divide them."""
    count = n_walkers(walkers)
    size = max(size for size in range(1, min(chunk, count) + 1) if count % size == 0)
    size = size if size * SMALLEST >= chunk else count
    return jax.tree.map(lambda a: a.reshape(count // size, size, *a.shape[1:]), walkers)


def centred(rows: Float[Array, "..."], parts: int) -> Float[Array, "..."]:
    """Rows (of numbers, or of more) less their mean in each part."""
    by_part = rows.reshape(parts, len(rows) // parts, *rows.shape[1:])
    return (by_part - jnp.mean(by_part, axis=1, keepdims=True)).reshape(rows.shape)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HeldColumns:
    """A matrix (rows, columns)."""

    values: Float[Array, "rows columns"]
    parts: int = field(metadata={"static": True})

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.values.shape[0]

    @property
    def dtype(self) -> Any:
        """Precision of the values."""
        return self.values.dtype

    def scaled(self, factors: Float[Array, " rows"]) -> HeldColumns:
        """Each row times a factor."""
        return replace(self, values=self.values * factors[:, None].astype(self.values.dtype))

    def dot(self, vector: Float[Array, " columns"]) -> Float[Array, " rows"]:
        """``O v``."""
        return self.values @ vector

    def transpose_dot(self, weights: Float[Array, " rows"]) -> Float[Array, " columns"]:
        """``O^T w``."""
        return weights @ self.values

    def of_each_walker(self, function: Callable[[Array], Array]) -> Array:
        """``function`` of the scores (parts, walkers, columns), a number or more of each walker: (numbers, walkers)."""
        return function(self.values.reshape(self.parts, self.rows // self.parts, -1))

    def squares(self) -> Float[Array, " columns"]:
        """``sum_n O_nj^2``."""
        return jnp.sum(self.values**2, axis=0)

    def centred_squares(self) -> Float[Array, " columns"]:
        """The same of the rows less their mean in each part."""
        return jnp.sum(centred(self.values, self.parts) ** 2, axis=0)

    def matrix(self) -> Float[Array, "rows columns"]:
        """All of it."""
        return self.values

    def gram(self, scale: Float[Array, " columns"] | None, products: RowProducts) -> Float[Array, "rows rows"]:
        """``O diag(scale)^2 O^T`` of the rows less their mean in each part.

        The Gram matrix is centred later in any case; rows that are centred first keep the precision of what is left.
        """
        rows = centred(self.values, self.parts)
        return products.gram(rows if scale is None else rows * scale)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RecomputedColumns:
    """Columns too many to be held: evaluated a block of walkers at a time whenever something is made of them."""

    leaves: list[Array]
    blocks: PyTree
    """Walkers with two leading axes (blocks, walkers of a block)."""
    factors: Float[Array, "blocks parts walkers"]
    """Of each row."""
    program: ScoreProgram = field(metadata={"static": True})

    @staticmethod
    def of(program: ScoreProgram, leaves: list[Array], walkers: PyTree, chunk: int) -> RecomputedColumns:
        """Of all walkers, in blocks no larger than ``chunk``."""
        blocks = equal_blocks(walkers, chunk)
        count, size, *_ = jax.tree.leaves(blocks)[0].shape
        factors = jnp.ones((count, program.parts, size), leaves[0].dtype)
        return RecomputedColumns(leaves, blocks, factors, program)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return math.prod(self.factors.shape)

    @property
    def dtype(self) -> Any:
        """Precision of the values."""
        return self.factors.dtype

    def _block(self, given: tuple[PyTree, Array]) -> Float[Array, "parts walkers columns"]:
        walkers, factors = given
        of_walkers = jax.vmap(lambda walker: self.program(self.leaves, walker))(walkers)
        assert of_walkers.columns is not None
        return jnp.moveaxis(of_walkers.columns, 0, 1) * factors[..., None]

    def _in_blocks(self, rows: Float[Array, " rows"]) -> Float[Array, "blocks parts walkers"]:
        blocks, parts, size = self.factors.shape
        return jnp.moveaxis(rows.reshape(parts, blocks, size), 1, 0)

    def _as_rows(self, blocks: Float[Array, "blocks parts walkers"]) -> Float[Array, " rows"]:
        return jnp.moveaxis(blocks, 0, 1).reshape(-1)

    def _sum(self, function: Callable[..., Array], *more: Array, parts: tuple[int, ...] = ()) -> Array:
        """Sum over the blocks of ``function(block, ...)``, of shape (*parts, columns)."""

        def add(total: Array, given: tuple[Any, ...]) -> tuple[Array, None]:
            blocks, *rest = given
            return total + function(self._block(blocks), *rest), None

        start = jnp.zeros((*parts, self.program.layout.n_explicit), self.factors.dtype)
        return jax.lax.scan(add, start, ((self.blocks, self.factors), *more))[0]

    def scaled(self, factors: Float[Array, " rows"]) -> RecomputedColumns:
        """Each row times a factor."""
        return replace(self, factors=self.factors * self._in_blocks(factors).astype(self.factors.dtype))

    def dot(self, vector: Float[Array, " columns"]) -> Float[Array, " rows"]:
        """``O v``."""
        return self._as_rows(jax.lax.map(lambda given: self._block(given) @ vector, (self.blocks, self.factors)))

    def transpose_dot(self, weights: Float[Array, " rows"]) -> Float[Array, " columns"]:
        """``O^T w``."""
        return self._sum(lambda block, w: jnp.einsum("pn,pnc->c", w, block), self._in_blocks(weights))

    def of_each_walker(self, function: Callable[[Array], Array]) -> Array:
        """``function`` of the scores (parts, walkers, columns), a number or more of each walker: (numbers, walkers)."""
        blocks = jax.lax.map(lambda block: function(self._block(block)), (self.blocks, self.factors))
        return jnp.moveaxis(blocks, 0, 1).reshape(blocks.shape[1], -1)

    def squares(self) -> Float[Array, " columns"]:
        """``sum_n O_nj^2``."""
        return self._sum(lambda block: jnp.sum(block**2, axis=(0, 1)))

    def centred_squares(self) -> Float[Array, " columns"]:
        """The same of the rows less their mean in each part."""
        mean = self._mean()
        return self._sum(lambda block: jnp.sum((block - mean) ** 2, axis=(0, 1)))

    def _mean(self) -> Float[Array, "parts 1 columns"]:
        blocks, parts, size = self.factors.shape
        return self._sum(lambda block: jnp.sum(block, axis=1), parts=(parts,))[:, None] / (blocks * size)

    def matrix(self) -> Float[Array, "rows columns"]:
        """All of it."""
        blocks = jax.lax.map(self._block, (self.blocks, self.factors))
        return jnp.moveaxis(blocks, 0, 1).reshape(self.rows, -1)

    def gram(self, scale: Float[Array, " columns"] | None, products: RowProducts) -> Float[Array, "rows rows"]:
        """As that of `HeldColumns`, from pairs of blocks."""
        blocks, parts, size = self.factors.shape
        given = (self.blocks, self.factors)
        mean = self._mean()

        def of_block(block: Any) -> Array:
            rows = (self._block(block) - mean).reshape(parts * size, -1)
            return rows if scale is None else rows * scale

        def with_all(block: Any) -> Array:
            here = of_block(block)
            return jax.lax.map(lambda other: products.outer(here, of_block(other)).astype(products.sums), given)

        pairs = jax.lax.map(with_all, given).reshape(blocks, blocks, parts, size, parts, size)
        return jnp.transpose(pairs, (2, 0, 3, 4, 1, 5)).reshape(self.rows, self.rows)


Columns = HeldColumns | RecomputedColumns
