"""Blocks of a Fisher matrix: Kronecker products for dense layers, diagonals for all other parameters.

Martens and Grosse, ICML 2015 (arXiv:1503.05671); layers whose weights are shared by several rows as in Grosse and
Martens, ICML 2016 (arXiv:1602.01407).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.scores.layout import Layout
from adiabat.vmc.scores.table import Scores

FISHER = 2.0
"""The Fisher matrix of ``|psi|^2`` in units of ``<O O^T>``, up to the factor 2 that the energy's gradient shares."""

LARGE = 192
"""Columns from which on a product that is left out saves more time than its neighbours lose by being smaller."""


class Factors(NamedTuple):
    """``inputs (x) outputs / repeats`` for the weights of a layer; a bias is one more input."""

    inputs: Float[Array, "inputs inputs"]
    outputs: Float[Array, "outputs outputs"]


class Fisher(NamedTuple):
    """Sums of the statistics of the steps, each step weighing less than the next by a constant factor."""

    layers: dict[str, Factors]
    diagonal: Float[Array, " explicit"]
    """Of the parameters that are no weights of layers, side by side; those of biases are not used."""
    weight: Float[Array, ""]
    """Sum of the weights of the steps."""


def no_statistics(layout: Layout, dtype: Any) -> Fisher:
    """Zero, of the right shapes."""
    with_bias = dict(layout.biases)

    def square(size: int) -> Array:
        return jnp.zeros((size, size), dtype)

    shapes = {leaf: layout.shapes[leaf] for leaf in layout.layers}
    layers = {
        str(leaf): Factors(square(inputs + (leaf in with_bias)), square(outputs))
        for leaf, (inputs, outputs) in shapes.items()
    }
    return Fisher(layers, jnp.zeros(layout.n_explicit, dtype), jnp.zeros((), dtype))


def statistics(table: Scores, walkers: int) -> Fisher:
    """The share of these scores in the statistics of a step with so many walkers in all."""
    with_bias = dict(table.layout.biases)
    layers = {}
    for leaf, x, d in table.each_layer():
        # Real and imaginary parts of log psi share their activations.
        inputs = x[: table.walkers].reshape(-1, x.shape[-1])
        moments = _second_moments(inputs)
        if leaf in with_bias:
            sums = jnp.sum(inputs, axis=0)[:, None]
            moments = jnp.block([[moments, sums], [sums.T, jnp.full((1, 1), len(inputs), sums.dtype)]])
        outputs = FISHER * _second_moments(d.reshape(-1, d.shape[-1]))
        layers[str(leaf)] = Factors(moments / walkers, outputs / walkers)
    diagonal = FISHER * table.columns.squares() / walkers
    return Fisher(layers, diagonal, jnp.asarray(table.walkers / walkers, diagonal.dtype))


def _second_moments(rows: Float[Array, "rows n"]) -> Float[Array, "n n"]:
    """``rows^T rows``; of a large one the quarter below the diagonal is that above it."""
    size = rows.shape[1]
    if size < LARGE:
        return rows.T @ rows
    left, right = rows[:, : size // 2], rows[:, size // 2 :]
    above = left.T @ right
    return jnp.block([[left.T @ left, above], [above.T, right.T @ right]])


def damped_inverses(fisher: Fisher, layout: Layout, damping: Float[Array, ""]) -> dict[str, Factors]:
    """Inverses of the damped factors of each layer.

    The damping of the product is shared between its factors by the ratio of their mean eigenvalues (Martens and
    Grosse, section 6.3), as ``(A + pi sqrt(damping)) (x) (B + sqrt(damping) / pi)``.
    """
    result = {}
    for leaf, repeats in zip(layout.layers, layout.repeats, strict=True):
        a, b = (factor / fisher.weight for factor in fisher.layers[str(leaf)])
        a = a / repeats
        root = jnp.sqrt(damping).astype(a.dtype)
        mean_a, mean_b = jnp.trace(a) / len(a), jnp.trace(b) / len(b)
        known = (mean_a > 0) & (mean_b > 0)
        ratio = jnp.where(known, jnp.sqrt(mean_a / jnp.where(known, mean_b, 1)), 1.0)
        result[str(leaf)] = Factors(
            _inverse(a + ratio * root * jnp.eye(len(a), dtype=a.dtype)),
            _inverse(b + root / ratio * jnp.eye(len(b), dtype=b.dtype)),
        )
    return result


def _inverse(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Of a matrix of positive eigenvalues; products with it are cheaper than solutions with its decomposition."""
    factor = jax.scipy.linalg.cholesky(matrix, lower=True)
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(len(matrix), dtype=matrix.dtype), lower=True)
    return inverse.T @ inverse


def precondition(
    layout: Layout,
    fisher: Fisher,
    inverses: Mapping[str, Factors],
    damping: Float[Array, ""],
    vector: Float[Array, " parameters"],
) -> Float[Array, " parameters"]:
    """The damped inverse of the Fisher matrix, applied to a vector of all parameters."""
    with_bias = dict(layout.biases)
    leaves = layout.leaves(vector)
    damped = fisher.diagonal / fisher.weight + damping.astype(vector.dtype)
    parts = layout.from_columns(layout.columns(leaves) / damped)
    for leaf in layout.layers:
        inverse, weights = inverses[str(leaf)], leaves[leaf]
        if leaf in with_bias:
            weights = jnp.concatenate([weights, leaves[with_bias[leaf]][None]])
        weights = inverse.inputs @ weights @ inverse.outputs
        if leaf in with_bias:
            parts[with_bias[leaf]] = weights[-1]
            weights = weights[:-1]
        parts[leaf] = weights
    return layout.vector(parts)
