"""What the three ways of stochastic reconfiguration cost, in multiplications, known from shapes alone."""

from __future__ import annotations

from typing import Literal

from adiabat.vmc.scores.program import layer_cost, weights_cost
from adiabat.vmc.scores.table import Scores

Method = Literal["sample", "parameter", "cg"]
CG_SHARE = 0.5
"""Part of the iterations allowed to conjugate gradients that a step is expected to take."""


def cheapest(table: Scores, cg_iterations: int, by_weights: bool) -> Method:
    """The way with the fewest multiplications; with a metric the Gram matrix is made ``by_weights``.

    Conjugate gradients are an approximation, so they have to be cheaper by far.
    """
    costs: dict[Method, float] = {
        "sample": sample_cost(table, by_weights),
        "parameter": parameter_cost(table),
        "cg": 4 * matrix_free_cost(table, cg_iterations),
    }
    return min(costs, key=lambda method: costs[method])


def sample_cost(table: Scores, by_weights: bool) -> float:
    """Half of the Gram matrix, which is symmetric, and its Cholesky decomposition in twice the precision."""
    element = table.layout.n_explicit
    for leaf, x, _ in table.each_layer():
        shape = table.layout.shapes[leaf]
        written_out = weights_cost(*shape)
        element += written_out if by_weights else min(written_out, layer_cost(x.shape[1], *shape))
    return table.rows**2 * element / 2 + 2 * table.rows**3 / 6


def parameter_cost(table: Scores) -> float:
    """The curvature and its Cholesky decomposition, both in twice the precision."""
    return 2 * (table.rows * table.layout.n_parameters**2 + table.layout.n_parameters**3 / 6)


def matrix_free_cost(table: Scores, iterations: int) -> float:
    """Two products with the scores an iteration."""
    product = table.rows * table.layout.n_explicit
    for _, x, d in table.each_layer():
        product += x.shape[0] * x.shape[1] * x.shape[2] * d.shape[-1]
    return 2 * product * CG_SHARE * iterations
