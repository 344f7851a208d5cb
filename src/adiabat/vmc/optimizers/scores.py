"""The scores O = d log psi / d theta of all walkers, as a matrix that is applied but not formed.

Rows are walkers (for a complex log psi: the real parts, then the imaginary parts), columns parameters. Dense layers are
kept as activations and cotangents; other parameters are explicit columns, or, where those would not fit, columns that
are evaluated again each time they are needed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.optimizers.layers import TracedFunction, trace
from adiabat.vmc.optimizers.score_columns import Columns, HeldColumns, RecomputedColumns

PyTree = Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Scores:
    """Scores of all walkers, not centred.

    Attributes
    ----------
    columns : Columns
        Scores of the parameters that are not kept by layers, side by side.
    activations, cotangents : tuples of (rows, repeats, inputs) and (rows, repeats, outputs)
        Of each layer; repeats are the electrons or pairs that share its weights.
    shapes, layers, biases, explicit : static
        Shapes of all parameter leaves; the leaf of each layer; pairs of such a leaf and that of its bias; the leaves
        among the columns, biases included. Leaves in neither do not reach the output.
    """

    columns: Columns
    activations: tuple[Array, ...]
    cotangents: tuple[Array, ...]
    shapes: tuple[tuple[int, ...], ...] = field(metadata={"static": True})
    layers: tuple[int, ...] = field(metadata={"static": True})
    biases: tuple[tuple[int, int], ...] = field(metadata={"static": True})
    explicit: tuple[int, ...] = field(metadata={"static": True})
    parts: int = field(metadata={"static": True})
    """1 for a real log psi; 2 where imaginary parts follow the real ones."""
    chunk: int = field(metadata={"static": True})
    """Walkers whose scores may be written out in full at a time."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.columns.rows

    @property
    def dtype(self) -> Any:
        """Precision of the scores."""
        return self.columns.dtype

    @property
    def n_parameters(self) -> int:
        """Number of columns."""
        return sum(math.prod(shape) for shape in self.shapes)

    def leaves(self, vector: Float[Array, " parameters"]) -> list[Array]:
        """A vector of all parameters, leaf by leaf."""
        ends = itertools.accumulate(math.prod(shape) for shape in self.shapes)
        parts = jnp.split(vector, [*ends][:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def joined(self, parts: dict[int, Array]) -> Float[Array, " parameters"]:
        """A vector of all parameters from its leaves; zero for those that are not given."""
        dtype = jnp.result_type(*parts.values())
        return jnp.concatenate(
            [parts[i].ravel() if i in parts else jnp.zeros(math.prod(s), dtype) for i, s in enumerate(self.shapes)]
        )

    def of_columns(self, leaves: list[Array]) -> Float[Array, " explicit"]:
        """Those of the leaves that are columns, side by side."""
        return jnp.concatenate([leaves[i].ravel() for i in self.explicit] or [jnp.zeros(0, leaves[0].dtype)])

    def from_columns(self, vector: Float[Array, " explicit"]) -> dict[int, Array]:
        """The leaves that are columns."""
        ends = itertools.accumulate(math.prod(self.shapes[i]) for i in self.explicit)
        return dict(zip(self.explicit, jnp.split(vector, [*ends][:-1]), strict=False))

    def scaled(self, factors: Float[Array, " rows"]) -> Scores:
        """Each row times a factor."""
        cotangents = tuple(d * factors[:, None, None].astype(d.dtype) for d in self.cotangents)
        return replace(self, columns=self.columns.scaled(factors), cotangents=cotangents)

    def dot(self, vector: Float[Array, " parameters"]) -> Float[Array, " rows"]:
        """``O v`` for a vector of all parameters, leaf after leaf."""
        leaves = self.leaves(vector)
        result = self.columns.dot(self.of_columns(leaves))
        for i, x, d in zip(self.layers, self.activations, self.cotangents, strict=True):
            result = result + jnp.sum((x @ leaves[i]) * d, axis=(1, 2))
        return result

    def transpose_dot(self, weights: Float[Array, " rows"]) -> Float[Array, " parameters"]:
        """``O^T w``, a vector of all parameters, leaf after leaf."""
        parts = self.from_columns(self.columns.transpose_dot(weights))
        for i, x, d in zip(self.layers, self.activations, self.cotangents, strict=True):
            weighted = x * weights[:, None, None]
            parts[i] = (weighted.reshape(-1, x.shape[-1]).T @ d.reshape(-1, d.shape[-1])).ravel()
        return self.joined(parts)

    def absolute_means(self) -> Float[Array, " walkers"]:
        """Mean absolute score of each walker, over the parameters; a complex one is a number with its modulus."""

        def sums(scores: Array) -> Array:
            return jnp.sum(jnp.sqrt(jnp.sum(scores * scores, axis=0)), axis=-1)[None]

        result = self.columns.of_each_walker(sums)
        for x, d in zip(self.activations, self.cotangents, strict=True):
            result = result + over_weights(
                x, d, self.chunk, lambda rows: sums(rows.reshape(self.parts, self.rows // self.parts, -1))
            )
        return result[0] / self.n_parameters

    def over_columns(self, function: Callable[[Array], Array]) -> Float[Array, " parameters"]:
        """``sum_n function(O_nj)`` over the walkers for each parameter, written out a chunk of them at a time."""
        parts = self.from_columns(self.columns.over_columns(function))
        for i, x, d in zip(self.layers, self.activations, self.cotangents, strict=True):
            parts[i] = _each_weight(x, d, self.chunk, function)
        return self.joined(parts)

    def squared_lengths(self) -> Float[Array, " rows"]:
        """``|O_n|^2`` of each row."""
        result = self.columns.of_each_walker(lambda scores: jnp.sum(scores * scores, axis=-1)).reshape(-1)
        for x, d in zip(self.activations, self.cotangents, strict=True):
            result = result + jnp.sum((x @ jnp.moveaxis(x, 1, 2)) * (d @ jnp.moveaxis(d, 1, 2)), axis=(1, 2))
        return result

    def matrix(self) -> Float[Array, "rows parameters"]:
        """All of it, written out."""
        columns = self.columns.matrix()
        ends = [*itertools.accumulate(math.prod(self.shapes[i]) for i in self.explicit)][:-1]
        parts = dict(zip(self.explicit, jnp.split(columns, ends, axis=1), strict=False))
        for i, x, d in zip(self.layers, self.activations, self.cotangents, strict=True):
            parts[i] = written_out(x, d)
        empty = [jnp.zeros((self.rows, math.prod(shape)), columns.dtype) for shape in self.shapes]
        return jnp.concatenate([parts.get(i, empty[i]) for i in range(len(self.shapes))], axis=1)


def written_out(x: Float[Array, "rows repeats inputs"], d: Float[Array, "rows repeats outputs"]) -> Array:
    """Scores (rows, inputs * outputs) of the weights of a layer."""
    return jnp.einsum("nri,nro->nio", x, d).reshape(len(x), -1)


def _slices(x: Array, d: Array, chunk: int) -> Array:
    """Slices (slices, rows, repeats, inputs of a slice) of the inputs of a layer, so thin that the scores of one slice
    for all rows are no more numbers than all scores of ``chunk`` rows. The last slice is filled up with zeros."""
    inputs = x.shape[-1]
    width = max(1, min(inputs, inputs * chunk // len(x)))
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, -inputs % width)))
    return jnp.moveaxis(padded.reshape(*x.shape[:2], -1, width), 2, 0)


def over_weights(
    x: Float[Array, "rows repeats inputs"],
    d: Float[Array, "rows repeats outputs"],
    chunk: int,
    function: Callable[[Array], Array],
    scale: Float[Array, "inputs outputs"] | None = None,
) -> Array:
    """Sum of ``function(scores * scale)`` over slices of the weights of a layer; it must be zero for zero scores."""
    slices = _slices(x, d, chunk)
    wanted = slices.shape[0] * slices.shape[-1]
    scales = jnp.ones((slices.shape[0], 1), x.dtype)
    if scale is not None:
        scales = jnp.pad(scale, ((0, wanted - len(scale)), (0, 0))).reshape(slices.shape[0], -1)

    def of(part: Array, factor: Array) -> Array:
        return function(written_out(part, d) * factor)

    first = jax.eval_shape(of, slices[0], scales[0])
    start = jnp.zeros(first.shape, first.dtype)
    return jax.lax.scan(lambda total, given: (total + of(*given), None), start, (slices, scales))[0]


def _each_weight(x: Array, d: Array, chunk: int, function: Callable[[Array], Array]) -> Array:
    """Sum of ``function(scores)`` over the rows, for each weight of a layer."""
    sums = jax.lax.map(lambda part: jnp.sum(function(written_out(part, d)), axis=0), _slices(x, d, chunk))
    return sums.reshape(-1, d.shape[-1])[: x.shape[-1]].ravel()


def scores(
    log_psi: Callable[..., Array],
    params: PyTree,
    walkers: PyTree,
    *,
    chunk: int | None = None,
    prune: bool = False,
    hold: bool | None = None,
    every_layer: bool = False,
) -> Scores:
    """Scores of all walkers by one backward pass each.

    Parameters
    ----------
    log_psi : callable
        Of real parameters and one walker; real or complex.
    params, walkers : pytree
    chunk : int, optional
        Walkers whose scores are evaluated at a time; default all.
    prune : bool
        Leave out parameters that do not reach the output.
    hold : bool, optional
        Whether columns that are not of layers are held, or evaluated again each time; default: by their number.
    every_layer : bool
        Keep all layers as activations and cotangents, also those whose scores are fewer numbers.
    """
    count = jax.tree.leaves(walkers)[0].shape[0]
    chunk = min(chunk or count, count)
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), walkers)
    is_complex = jnp.issubdtype(jax.eval_shape(log_psi, params, one).dtype, jnp.complexfloating)

    def parts(params: PyTree, walker: PyTree) -> Array:
        value = log_psi(params, walker)
        return jnp.stack([value.real, value.imag]) if is_complex else value[None]

    traced = trace(parts, params, one)
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(params)]
    n_parts = 2 if is_complex else 1
    kept = tuple(i for i in traced.layers if every_layer or _is_smaller_by_layer(traced, leaves, i))
    explicit = tuple(i for i in range(len(leaves)) if i not in kept and (i in traced.reaching or not prune))
    n_explicit, n_all = (sum(leaves[i].size for i in which) for which in (explicit, range(len(leaves))))
    if hold is None:
        hold = count * n_explicit <= count**2 * n_parts + chunk * n_all
    one_walker = _OneWalker(traced, kept, explicit if hold else (), leaves)
    columns, activations, cotangents = jax.lax.map(one_walker, walkers, batch_size=chunk)

    def stacked(a: Array) -> Array:
        return jnp.moveaxis(a, 1, 0).reshape(n_parts * count, *a.shape[2:])

    held = stacked(columns) if columns is not None else jnp.zeros((n_parts * count, 0), leaves[0].dtype)
    return Scores(
        HeldColumns(held, n_parts)
        if hold
        else RecomputedColumns.of(_OneWalker(traced, (), explicit), leaves, walkers, chunk, n_parts, n_explicit),
        tuple(map(stacked, activations)),
        tuple(map(stacked, cotangents)),
        tuple(leaf.shape for leaf in leaves),
        kept,
        tuple(traced.biases.items()),
        explicit,
        n_parts,
        chunk,
    )


def _is_smaller_by_layer(traced: TracedFunction, leaves: list[Array], leaf: int) -> bool:
    """Whether activations and cotangents of a layer are fewer numbers than the scores of its weights."""
    repeats = sum(use.rows for use in traced.uses if use.leaf == leaf)
    inputs, outputs = leaves[leaf].shape
    return repeats * (inputs + outputs) < inputs * outputs


@dataclass(frozen=True)
class _OneWalker:
    """Explicit columns of one walker (parts, ...), and activations and cotangents of the layers that are kept."""

    traced: TracedFunction
    kept: tuple[int, ...]
    explicit: tuple[int, ...]
    leaves: Any = None

    def __call__(self, walker: PyTree, leaves: Any = None) -> tuple[Array | None, list[Array], list[Array]]:
        given = list(self.leaves if leaves is None else leaves)
        plain = [i for i in self.explicit if i not in self.traced.layers]

        def outputs(explicit: list[Array], taps: list[Array]) -> tuple[Array, list[Array]]:
            merged = list(given)
            for i, leaf in zip(plain, explicit, strict=True):
                merged[i] = leaf
            (value,), activations = self.traced.tapped(merged, jax.tree.leaves(walker), taps)
            return value, activations

        taps = self.traced.zero_taps(given[0].dtype)
        value, pullback, activations = jax.vjp(outputs, [given[i] for i in plain], taps, has_aux=True)
        grads, cotangents = jax.vmap(pullback)(jnp.eye(len(value), dtype=value.dtype))
        return self._arranged(dict(zip(plain, grads, strict=True)), cotangents, activations, value)

    def _arranged(
        self, columns: dict[int, Array], cotangents: list[Array], activations: list[Array], value: Array
    ) -> tuple[Array | None, list[Array], list[Array]]:
        of_leaf: dict[int, list[tuple[Array, Array]]] = {i: [] for i in self.traced.layers}
        for use, x, d in zip(self.traced.uses, activations, cotangents, strict=True):
            of_leaf[use.leaf].append((x.reshape(-1, x.shape[-1]), d))
        joined = {
            leaf: (jnp.concatenate([x for x, _ in used]), jnp.concatenate([d for _, d in used], axis=1))
            for leaf, used in of_leaf.items()
        }
        for leaf, (x, d) in joined.items():
            columns[leaf] = jnp.einsum("ri,pro->pio", x, d)
        rows = [columns[i].reshape(len(value), -1) for i in self.explicit]
        side_by_side = jnp.concatenate(rows, axis=1) if rows else None
        repeated = [jnp.broadcast_to(joined[i][0], (len(value), *joined[i][0].shape)) for i in self.kept]
        return side_by_side, repeated, [joined[i][1] for i in self.kept]
