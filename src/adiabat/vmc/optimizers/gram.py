"""The Gram matrix ``O O^T`` of the scores: products of activations and cotangents, or of scores written out."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.optimizers.row_products import RowProducts
from adiabat.vmc.optimizers.scores import Scores, over_weights

ELEMENTWISE_COST = 25
"""Multiplications that one elementwise product of two large matrices costs as much as."""


def gram_matrix(
    table: Scores, products: RowProducts, scale: Float[Array, " parameters"] | None = None
) -> Float[Array, "rows rows"]:
    """``O diag(scale)^2 O^T`` up to terms that centring removes.

    The scores of a layer are never held for all walkers: its share comes from activations and cotangents, or from
    scores written out for a slice of the weights at a time, whichever is cheaper. A scale per weight leaves only the
    latter.
    """
    scales = table.layout.leaves(scale) if scale is not None else None
    result = table.columns.gram(table.layout.columns(scales) if scales is not None else None, products)
    for leaf, x, d in table.each_layer():
        if scales is not None:
            result = result + _by_weights(table, x, d, products, scales[leaf])
        elif layer_cost(x.shape, d.shape[-1]) < weights_cost(x.shape, d.shape[-1]):
            result = result + _by_layer(x, d, products)
        else:
            result = result + _by_weights(table, x, d, products)
    return result


def layer_cost(shape: tuple[int, ...], outputs: int) -> int:
    """Multiplications of a layer's share by activations (rows, repeats, inputs) and cotangents."""
    rows, repeats, inputs = shape
    return (rows * repeats) ** 2 * (inputs + outputs + ELEMENTWISE_COST)


def weights_cost(shape: tuple[int, ...], outputs: int) -> int:
    """Multiplications of a layer's share by scores that are written out."""
    rows, repeats, inputs = shape
    return rows**2 * inputs * outputs + rows * repeats * inputs * outputs


def _by_layer(x: Array, d: Array, products: RowProducts) -> Float[Array, "rows rows"]:
    """``sum_rs (x_nr . x_ms) (d_nr . d_ms)``."""
    rows, repeats, _ = x.shape

    def block(here: slice, there: slice) -> Array:
        n, m = (len(range(*s.indices(rows))) for s in (here, there))
        inner = products.outer(*(x[s].reshape(-1, x.shape[-1]) for s in (here, there)))
        outer = products.outer(*(d[s].reshape(-1, d.shape[-1]) for s in (here, there)))
        return jnp.sum((inner * outer).reshape(n, repeats, m, repeats), axis=(1, 3))

    return products.symmetric(rows, block)


def _by_weights(
    table: Scores, x: Array, d: Array, products: RowProducts, scale: Array | None = None
) -> Float[Array, "rows rows"]:
    """``sum_w O_nw O_mw scale_w^2`` over the weights w, of rows less their mean in each part."""

    def product(rows: Array) -> Array:
        by_part = rows.reshape(table.parts, table.walkers, -1)
        return products.gram((by_part - jnp.mean(by_part, axis=1, keepdims=True)).reshape(rows.shape))

    return over_weights(x, d, table.chunk, product, scale)
