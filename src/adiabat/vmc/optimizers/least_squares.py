"""Regularised least squares ``min_y |w (O y - t)|^2 + damping y^T M y``, the heart of stochastic reconfiguration.

O are the centred scores, t a target for each walker, w weights of the walkers and M a metric on the parameters that is
diagonal, given as the scale ``M = diag(scale)^-2``. Three ways lead to the same y: by a matrix as large as the number
of walkers, by one as large as the number of parameters, or by none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from adiabat.vmc.scores.centred import CentredScores
from adiabat.vmc.scores.products import RowProducts


class Solution(NamedTuple):
    """What solves the least squares, and how it was found."""

    increment: Float[Array, " parameters"]
    weights: Float[Array, " rows"]
    damping: Float[Array, ""]
    fell_back: Bool[Array, ""]
    """Whether the factorisation failed, or the iterations did not suffice."""
    iterations: Int[Array, ""] | int = 0
    residual: Float[Array, ""] | float = 0.0
    """Of conjugate gradients, relative to the target."""


@dataclass(frozen=True)
class LeastSquares:
    """The problem.

    Attributes
    ----------
    target : (rows,)
        Already centred.
    gradient : (parameters,), optional
        Minimised is ``|w (O y - t)|^2 + damping y^T M y - 2 y . gradient``: a second target of which only ``O^T w^2 t``
        is known. Among walkers as many digits of its share are lost as the curvature is larger than the damping.
    damping : scalar
        The least; it is raised to ``largest eigenvalue / (max_cond_num - 1)``.
    max_score : float, optional
        Rows longer than this many medians get a weight below one, as if theirs were so long.
    """

    scores: CentredScores
    target: Float[Array, " rows"]
    damping: Float[Array, ""]
    scale: Float[Array, " parameters"] | None
    max_cond_num: Float[Array, ""] | None
    max_score: Float[Array, ""] | None
    products: RowProducts
    gradient: Float[Array, " parameters"] | None = None

    def raised(self, largest_eigenvalue: Callable[[], Array]) -> Float[Array, ""]:
        """The damping with which the condition number is below its limit."""
        damping = self.damping.astype(self.products.sums)
        if self.max_cond_num is None:
            return damping
        return jnp.maximum(damping, largest_eigenvalue() / (self.max_cond_num - 1).astype(damping.dtype))

    def weights(self, squared_lengths: Callable[[], Array]) -> Float[Array, " rows"]:
        """Weight of each row, from the squared lengths of the rows; both parts of a walker have the same."""
        parts, walkers = self.scores.parts, self.scores.walkers
        if self.max_score is None:
            return jnp.ones(parts * walkers, self.products.sums)
        squares = jnp.sum(squared_lengths().astype(self.products.sums).reshape(parts, -1), axis=0)
        lengths = jnp.sqrt(squares)
        longest = self.max_score.astype(lengths.dtype) * jnp.median(lengths)
        weights = jnp.where((lengths > longest) & (longest > 0), longest / lengths, 1.0)
        return jnp.tile(weights, parts).astype(self.products.sums)

    def unscaled(self, parameters: Float[Array, " parameters"]) -> Float[Array, " parameters"]:
        """``M^-1`` of parameters."""
        return parameters if self.scale is None else parameters * self.scale * self.scale

    def spread(self, rows: Float[Array, " rows"]) -> Float[Array, " parameters"]:
        """``M^-1 O^T`` of rows."""
        return self.unscaled(self.scores.transpose_dot(rows))

    def among_walkers(
        self, damping: Float[Array, ""]
    ) -> tuple[Float[Array, " rows"], Float[Array, " parameters"] | float]:
        """A target, and an increment to be added to what solves the problem for it, that stand for the gradient too.

        By Woodbury's formula: ``(C + d M)^-1 g = M^-1 g / d + M^-1 O^T w F^-1 w t`` with ``t = -O M^-1 g / d``.
        """
        if self.gradient is None:
            return self.target, 0.0
        share = self.unscaled(self.gradient) / damping.astype(self.gradient.dtype)
        return self.target - self.scores.dot(share), share


def sample_space(problem: LeastSquares) -> Solution:
    """By the Gram matrix ``w O M^-1 O^T w`` of the walkers, whose null vectors are lifted to eigenvalue 1."""
    gram = problem.scores.gram(problem.products, problem.scale)
    lengths = problem.scores.squared_lengths if problem.scale is not None else lambda: jnp.diag(gram)
    weights = problem.weights(lengths)
    null = (1 / weights[: problem.scores.walkers]) / jnp.linalg.norm(1 / weights[: problem.scores.walkers])
    gram = (gram + gram.T) / 2 * weights[:, None] * weights
    damping = problem.raised(lambda: largest_eigenvalue(lambda v: gram @ v, len(gram), gram.dtype))
    lifted = gram + jnp.kron(jnp.eye(problem.scores.parts, dtype=gram.dtype), jnp.outer(null, null))
    dtype = problem.target.dtype
    target, share = problem.among_walkers(damping)
    solution, fell_back = _solve(lifted, damping, weights * target)
    increment = share + problem.spread((weights * solution).astype(dtype))
    return Solution(increment, weights.astype(dtype), damping, fell_back)


def parameter_space(problem: LeastSquares) -> Solution:
    """By the matrix ``M^-1/2 O^T w^2 O M^-1/2`` of the parameters."""
    matrix = problem.scores.matrix(problem.products.sums)
    weights = problem.weights(lambda: jnp.sum(matrix * matrix, axis=1))
    scale = jnp.ones((), matrix.dtype) if problem.scale is None else problem.scale.astype(matrix.dtype)
    matrix = weights[:, None] * matrix * scale
    curvature = matrix.T @ matrix
    damping = problem.raised(lambda: largest_eigenvalue(lambda v: curvature @ v, len(curvature), matrix.dtype))
    downhill = matrix.T @ (weights * problem.target)
    if problem.gradient is not None:
        downhill = downhill + scale * problem.gradient
    solution, fell_back = _solve(curvature, damping, downhill)
    dtype = problem.target.dtype
    return Solution((scale * solution).astype(dtype), weights.astype(dtype), damping, fell_back)


def matrix_free(problem: LeastSquares, *, tolerance: Float[Array, ""], iterations: int) -> Solution:
    """By conjugate gradients among the walkers, each row scaled by its length; until the residual has fallen to
    ``tolerance``."""
    dtype, wide = problem.target.dtype, problem.products.sums
    lengths = problem.scores.squared_lengths()
    weights = problem.weights(lambda: lengths)

    def gram_dot(rows: Array) -> Array:
        spread = problem.spread((weights * rows).astype(dtype))
        return weights * problem.scores.dot(spread).astype(wide)

    damping = problem.raised(lambda: largest_eigenvalue(gram_dot, len(weights), wide))
    diagonal = weights**2 * lengths.astype(wide) + damping
    target, share = problem.among_walkers(damping)
    solution, taken, residual = conjugate_gradients(
        lambda v: gram_dot(v) + damping * v,
        weights * target.astype(wide),
        lambda v: v / diagonal,
        tolerance=tolerance,
        iterations=iterations,
    )
    increment = share + problem.spread((weights * solution).astype(dtype))
    return Solution(increment, weights.astype(dtype), damping, residual > tolerance, taken, residual)


def conjugate_gradients(
    multiply: Callable[[Array], Array],
    target: Float[Array, " rows"],
    precondition: Callable[[Array], Array],
    *,
    tolerance: float | Float[Array, ""],
    iterations: int,
) -> tuple[Float[Array, " rows"], Array, Array]:
    """Solution of ``multiply(x) = target``, the iterations taken, and the norm of the residual relative to the target.

    Hestenes and Stiefel, J. Res. Natl. Bur. Stand. 49, 409 (1952), preconditioned.
    """
    goal = tolerance * jnp.linalg.norm(target)

    def unfinished(carry: Any) -> Array:
        _, residual, _, _, taken = carry
        return (jnp.linalg.norm(residual) > goal) & (taken < iterations)

    def iterate(carry: Any) -> Any:
        x, residual, direction, square, taken = carry
        image = multiply(direction)
        step = square / (direction @ image)
        residual = residual - step * image
        scaled = precondition(residual)
        new_square = residual @ scaled
        return x + step * direction, residual, scaled + new_square / square * direction, new_square, taken + 1

    first = precondition(target)
    start = (jnp.zeros_like(target), target, first, target @ first, jnp.zeros((), jnp.int32))
    x, residual, _, _, taken = jax.lax.while_loop(unfinished, iterate, start)
    scale = jnp.maximum(jnp.linalg.norm(target), jnp.finfo(target.dtype).tiny)
    return x, taken, jnp.linalg.norm(residual) / scale


def largest_eigenvalue(
    multiply: Callable[[Array], Array], size: int, dtype: Any, iterations: int = 10
) -> Float[Array, ""]:
    """Power iteration from a fixed start."""
    start = jnp.cos(jnp.arange(size, dtype=dtype) ** 2)

    def again(vector: Array, _: None) -> tuple[Array, Array]:
        image = multiply(vector)
        length = jnp.linalg.norm(image)
        return image / jnp.maximum(length, jnp.finfo(dtype).tiny), length

    _, lengths = jax.lax.scan(again, start / jnp.linalg.norm(start), None, length=iterations)
    return lengths[-1]


def _solve(
    matrix: Float[Array, "n n"], damping: Float[Array, ""], target: Float[Array, " n"]
) -> tuple[Float[Array, " n"], Array]:
    """``(matrix + damping)^-1 target`` by Cholesky; by eigenvalues, and saying so, where that fails."""
    damped = matrix + damping * jnp.eye(len(matrix), dtype=matrix.dtype)
    wide = target.astype(matrix.dtype)
    by_cholesky = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(damped, lower=True), wide)
    failed = ~jnp.all(jnp.isfinite(by_cholesky)) & jnp.all(jnp.isfinite(damped)) & jnp.all(jnp.isfinite(wide))

    def by_eigenvalues(_: None) -> Array:
        values, vectors = jnp.linalg.eigh(damped)
        usable = values > values[-1] * 1e-12
        return vectors @ (jnp.where(usable, 1 / jnp.where(usable, values, 1), 0) * (vectors.T @ wide))

    return jax.lax.cond(failed, by_eigenvalues, lambda _: by_cholesky, None), failed
