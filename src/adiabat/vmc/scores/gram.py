"""The Gram matrix ``O O^T`` of the scores: products of activations and cotangents, or of scores written out."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.scores.columns import centred
from adiabat.vmc.scores.products import RowProducts
from adiabat.vmc.scores.program import layer_cost, weights_cost
from adiabat.vmc.scores.table import Scores, over_weights


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
    by_layer: dict[int, list[Array]] = {}
    for number, (leaf, x, d) in zip(table.layout.cotangents, table.each_layer(), strict=True):
        inputs, outputs = table.layout.shapes[leaf]
        if scales is None and layer_cost(x.shape[1], inputs, outputs) < weights_cost(inputs, outputs):
            by_layer.setdefault(number, []).append(x)
        else:
            result = _add_by_weights(result, table, x, d, products, None if scales is None else scales[leaf])
    # Layers that share cotangents are one layer of all their inputs.
    merged = [(jnp.concatenate(inputs, axis=-1), table.cotangents[number]) for number, inputs in by_layer.items()]
    return result + _by_layer(merged, products) if merged else result


def _by_layer(layers: list[tuple[Array, Array]], products: RowProducts) -> Float[Array, "rows rows"]:
    """``sum_rs (x_nr . x_ms) (d_nr . d_ms)``, summed over the layers tile by tile."""

    def flat(a: Array) -> Array:
        return a.reshape(-1, a.shape[-1])

    def tile(here: list[tuple[Array, Array]], there: list[tuple[Array, Array]]) -> Array:
        total = jnp.zeros((), products.sums)
        for one, other in zip(here, there, strict=True):
            inner, outer = (products.outer(flat(a), flat(b)) for a, b in zip(one, other, strict=True))
            (rows, repeats, _), columns = one[0].shape, len(other[0])
            shares = jnp.sum((inner * outer).reshape(rows, repeats, columns, repeats), axis=(1, 3))
            total = total + shares.astype(products.sums)
        return total

    return products.symmetric(layers, tile, repeats=max(x.shape[1] for x, _ in layers))


def _add_by_weights(
    total: Float[Array, "rows rows"],
    table: Scores,
    x: Array,
    d: Array,
    products: RowProducts,
    scale: Array | None,
) -> Float[Array, "rows rows"]:
    """``total + sum_w O_nw O_mw scale_w^2`` over the weights w, of rows less their mean in each part."""

    def product(rows: Array) -> Array:
        return products.gram(centred(rows, table.parts))

    return over_weights(x, d, table.widest, product, scale, total)
