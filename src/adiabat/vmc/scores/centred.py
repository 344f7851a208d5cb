"""Scores less their mean over the walkers, divided by the square root of the number of walkers."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.scores.columns import centred
from adiabat.vmc.scores.gram import gram_matrix
from adiabat.vmc.scores.products import RowProducts
from adiabat.vmc.scores.table import Scores


class CentredScores:
    """``O = (S - mean S) / sqrt(walkers)`` of scores S, whose products with each other are those of the state's metric.

    Centring is done on what is made of the scores, never on the scores.
    """

    def __init__(self, table: Scores) -> None:
        self.table = table
        self.parts = table.parts
        self.walkers = table.walkers
        self.root = jnp.sqrt(jnp.asarray(self.walkers, table.dtype))

    def dot(self, vector: Float[Array, " parameters"]) -> Float[Array, " rows"]:
        """``O v``."""
        return centred(self.table.dot(vector), self.parts) / self.root

    def transpose_dot(self, weights: Float[Array, " rows"]) -> Float[Array, " parameters"]:
        """``O^T w``."""
        return self.table.transpose_dot(centred(weights, self.parts) / self.root)

    def matrix(self, dtype: Any) -> Float[Array, "rows parameters"]:
        """All of it, written out."""
        return (centred(self.table.matrix(), self.parts) / self.root).astype(dtype)

    def gram(
        self, products: RowProducts, scale: Float[Array, " parameters"] | None = None
    ) -> Float[Array, "rows rows"]:
        """``O diag(scale)^2 O^T``."""
        shape = (self.parts, self.walkers, self.parts, self.walkers)
        gram = gram_matrix(self.table, products, scale).reshape(shape)
        gram = gram - jnp.mean(gram, axis=1, keepdims=True)
        gram = gram - jnp.mean(gram, axis=3, keepdims=True)
        return gram.reshape(self.table.rows, self.table.rows) / self.walkers

    def squared_lengths(self) -> Float[Array, " rows"]:
        """``|O_n|^2`` of each row."""
        squares = self.table.squared_lengths()
        for average in self._averages():
            mean = self.table.transpose_dot(average)
            squares = squares + jnp.where(average > 0, mean @ mean - 2 * self.table.dot(mean), 0)
        return jnp.maximum(squares, 0) / self.walkers

    def variances(self) -> Float[Array, " parameters"]:
        """``sum_n |O_nj|^2`` of each parameter."""
        return self.table.centred_squares() / self.walkers

    def _averages(self) -> list[Float[Array, " rows"]]:
        """For each part, the weights whose sum over the rows is the mean over the walkers of that part."""
        part_of_row = jnp.repeat(jnp.arange(self.parts), self.walkers)
        return [(part_of_row == part).astype(self.table.dtype) / self.walkers for part in range(self.parts)]
