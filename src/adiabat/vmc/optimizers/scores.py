"""The scores O = d log psi / d theta of all walkers, as a matrix that is applied but not formed.

Rows are walkers (for a complex log psi: the real parts, then the imaginary parts), columns parameters. Dense layers are
kept as activations and cotangents, all other parameters as explicit columns; a layer becomes explicit where its product
with itself is cheaper that way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.optimizers.layers import TracedFunction, trace

PyTree = Any
BLOCKS = 4
"""Row blocks of the Gram matrix; only blocks on and above its diagonal are multiplied."""
ELEMENTWISE_COST = 25
"""Multiplications that one elementwise product of two large matrices costs as much as."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Scores:
    """Scores of all walkers, not centred.

    Attributes
    ----------
    columns : (rows, explicit parameters)
        Scores of the parameters that are not kept by layers, side by side.
    activations, cotangents : tuples of (rows, repeats, inputs) and (rows, repeats, outputs)
        Of each layer; repeats are the electrons or pairs that share its weights.
    shapes, layers : static
        Shapes of all parameter leaves; the leaf of each layer.
    """

    columns: Float[Array, "rows explicit"]
    activations: tuple[Array, ...]
    cotangents: tuple[Array, ...]
    shapes: tuple[tuple[int, ...], ...] = field(metadata={"static": True})
    layers: tuple[int, ...] = field(metadata={"static": True})
    parts: int = field(metadata={"static": True})
    """1 for a real log psi; 2 where imaginary parts follow the real ones."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.columns.shape[0]

    @property
    def _explicit(self) -> tuple[int, ...]:
        return tuple(i for i in range(len(self.shapes)) if i not in self.layers)

    def gram(self) -> Float[Array, "rows rows"]:
        """``O O^T`` in float64, of products taken in the scores' own precision."""
        size = self.rows
        edges = [size * i // BLOCKS for i in range(BLOCKS + 1)]
        # The mean row is subtracted where rows are explicit: centring is then exact in their precision.
        by_part = self.columns.reshape(self.parts, size // self.parts, -1)
        columns = (by_part - jnp.mean(by_part, axis=1, keepdims=True)).reshape(size, -1)
        result = jnp.zeros((size, size), jnp.float64)
        for start, stop in itertools.pairwise(edges):
            if start == stop:
                continue
            block = (columns[start:stop] @ columns[start:].T).astype(jnp.float64)
            for x, d in zip(self.activations, self.cotangents, strict=True):
                block = block + _layer_product(x[start:stop], d[start:stop], x[start:], d[start:])
            result = result.at[start:stop, start:].set(block)
        upper = jnp.triu(result)
        return upper + upper.T - jnp.diag(jnp.diag(upper))

    def dot(self, vector: Float[Array, " parameters"]) -> Float[Array, " rows"]:
        """``O v`` for a vector of all parameters, leaf after leaf."""
        ends = itertools.accumulate(math.prod(shape) for shape in self.shapes)
        leaves = [part.reshape(shape) for part, shape in zip(jnp.split(vector, [*ends][:-1]), self.shapes, strict=True)]
        explicit = [leaves[i].ravel() for i in self._explicit] or [jnp.zeros(0, self.columns.dtype)]
        result = self.columns @ jnp.concatenate(explicit)
        for i, x, d in zip(self.layers, self.activations, self.cotangents, strict=True):
            result = result + jnp.sum((x @ leaves[i]) * d, axis=(1, 2))
        return result

    def transpose_dot(self, weights: Float[Array, " rows"]) -> Float[Array, " parameters"]:
        """``O^T w``, a vector of all parameters, leaf after leaf."""
        explicit = self._explicit
        ends = itertools.accumulate(math.prod(self.shapes[i]) for i in explicit)
        parts = dict(zip(explicit, jnp.split(weights @ self.columns, [*ends][:-1]), strict=False))
        for i, x, d in zip(self.layers, self.activations, self.cotangents, strict=True):
            weighted = x * weights[:, None, None]
            parts[i] = (weighted.reshape(-1, x.shape[-1]).T @ d.reshape(-1, d.shape[-1])).ravel()
        return jnp.concatenate([parts[i] for i in range(len(self.shapes))])


def _layer_product(x1: Array, d1: Array, x2: Array, d2: Array) -> Float[Array, "n m"]:
    """``sum_rs (x1_nr . x2_ms) (d1_nr . d2_ms)``: the share of one layer in the Gram matrix, float64."""
    n, r, _ = x1.shape
    m, s, _ = x2.shape
    inner = (x1.reshape(n * r, -1) @ x2.reshape(m * s, -1).T) * (d1.reshape(n * r, -1) @ d2.reshape(m * s, -1).T)
    return jnp.sum(inner.reshape(n, r, m, s), axis=(1, 3)).astype(jnp.float64)


def scores(log_psi: Callable[..., Array], params: PyTree, walkers: PyTree, *, chunk: int | None = None) -> Scores:
    """Scores of all walkers by one backward pass each, evaluated ``chunk`` walkers at a time."""
    count = jax.tree.leaves(walkers)[0].shape[0]
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), walkers)
    is_complex = jnp.issubdtype(jax.eval_shape(log_psi, params, one).dtype, jnp.complexfloating)

    def parts(params: PyTree, walker: PyTree) -> Array:
        value = log_psi(params, walker)
        return jnp.stack([value.real, value.imag]) if is_complex else value[None]

    traced = trace(parts, params, one)
    leaves = jax.tree.leaves(params)
    rows = count * (2 if is_complex else 1)
    keep = _layers_to_keep(traced, leaves, rows)

    def of_walker(walker: PyTree) -> tuple[Array | None, list[Array], list[Array]]:
        def outputs(explicit: list[Array], taps: list[Array]) -> tuple[Array, list[Array]]:
            merged = list(leaves)
            for i, leaf in zip(traced.explicit, explicit, strict=True):
                merged[i] = leaf
            (value,), activations = traced.tapped(merged, jax.tree.leaves(walker), taps)
            return value, activations

        explicit = [leaves[i] for i in traced.explicit]
        value, pullback, activations = jax.vjp(outputs, explicit, traced.zero_taps(leaves[0].dtype), has_aux=True)
        grads, cotangents = jax.vmap(pullback)(jnp.eye(len(value), dtype=value.dtype))
        return _arrange(traced, keep, leaves, grads, cotangents, activations)

    columns, activations, cotangents = jax.lax.map(of_walker, walkers, batch_size=min(chunk or count, count))

    def stacked(a: Array) -> Array:
        return jnp.moveaxis(a, 1, 0).reshape(rows, *a.shape[2:])

    return Scores(
        stacked(columns) if columns is not None else jnp.zeros((rows, 0), leaves[0].dtype),
        tuple(map(stacked, activations)),
        tuple(map(stacked, cotangents)),
        tuple(leaf.shape for leaf in leaves),
        keep,
        rows // count,
    )


def _layers_to_keep(traced: TracedFunction, leaves: list[Array], rows: int) -> tuple[int, ...]:
    """Layers whose share of the Gram matrix is cheaper from activations and cotangents than from explicit rows."""
    repeats = dict.fromkeys(traced.layers, 0)
    for use in traced.uses:
        repeats[use.leaf] += use.rows
    keep = []
    for leaf, r in repeats.items():
        inputs, outputs = leaves[leaf].shape
        by_layer = (rows * r) ** 2 * (inputs + outputs + ELEMENTWISE_COST)
        by_rows = rows**2 * inputs * outputs + rows * r * inputs * outputs
        if by_layer < by_rows:
            keep.append(leaf)
    return tuple(sorted(keep))


def _arrange(
    traced: TracedFunction,
    keep: tuple[int, ...],
    leaves: list[Array],
    grads: list[Array],
    cotangents: list[Array],
    activations: list[Array],
) -> tuple[Array | None, list[Array], list[Array]]:
    """One walker's explicit columns (None without any), and activations and cotangents of the layers that are kept."""
    parts = cotangents[0].shape[0] if cotangents else grads[0].shape[0]
    of_leaf: dict[int, list[tuple[Array, Array]]] = {i: [] for i in traced.layers}
    for use, x, d in zip(traced.uses, activations, cotangents, strict=True):
        of_leaf[use.leaf].append((x.reshape(-1, x.shape[-1]), d))
    joined = {
        leaf: (jnp.concatenate([x for x, _ in used]), jnp.concatenate([d for _, d in used], axis=1))
        for leaf, used in of_leaf.items()
    }
    explicit = dict(zip(traced.explicit, grads, strict=True))
    for leaf, (x, d) in joined.items():
        if leaf not in keep:
            explicit[leaf] = jnp.einsum("ri,pro->pio", x, d)
    rows = [explicit[i].reshape(parts, -1) for i in range(len(leaves)) if i not in keep]
    columns = jnp.concatenate(rows, axis=1) if rows else None
    repeated = [jnp.broadcast_to(joined[i][0], (parts, *joined[i][0].shape)) for i in keep]
    return columns, repeated, [joined[i][1] for i in keep]
