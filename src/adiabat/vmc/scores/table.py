"""The scores O = d log psi / d theta of all walkers, as a matrix that is applied but not formed.

Rows are walkers (for a complex log psi: the real parts, then the imaginary parts), columns parameters. Dense layers are
kept as activations and cotangents; other parameters are explicit columns, or, where those would not fit, columns that
are evaluated again each time they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.scores.columns import Columns, HeldColumns, RecomputedColumns, centred
from adiabat.vmc.scores.layout import Layout
from adiabat.vmc.scores.program import ScoreProgram
from adiabat.vmc.walkers import n_walkers

PyTree = Any
FREE = 2**24
"""Numbers that may be held whatever the walkers and the parameters are."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Scores:
    """Scores of all walkers, not centred.

    Attributes
    ----------
    columns : Columns
        Scores of the parameters that are not kept by layers, side by side.
    activations : tuple of (rows, repeats, inputs)
        Of each layer; repeats are the electrons or pairs that share its weights.
    cotangents : tuple of (rows, repeats, outputs)
        Each once, however many layers share it.
    layout : Layout
        Which parameters are where, and which cotangents are whose.
    """

    columns: Columns
    activations: tuple[Array, ...]
    cotangents: tuple[Array, ...]
    layout: Layout = field(metadata={"static": True})
    parts: int = field(metadata={"static": True})
    """1 for a real log psi; 2 where imaginary parts follow the real ones."""
    widest: int = field(metadata={"static": True})
    """Columns of a layer that may be written out for all rows at a time."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.columns.rows

    @property
    def walkers(self) -> int:
        """Number of walkers."""
        return self.rows // self.parts

    @property
    def dtype(self) -> Any:
        """Precision of the scores."""
        return self.columns.dtype

    def each_layer(self) -> Iterator[tuple[int, Array, Array]]:
        """Leaf, activations and cotangents of each layer."""
        for leaf, x, number in zip(self.layout.layers, self.activations, self.layout.cotangents, strict=True):
            yield leaf, x, self.cotangents[number]

    def scaled(self, factors: Float[Array, " rows"]) -> Scores:
        """Each row times a factor."""
        cotangents = tuple(d * factors[:, None, None].astype(d.dtype) for d in self.cotangents)
        return replace(self, columns=self.columns.scaled(factors), cotangents=cotangents)

    def dot(self, vector: Float[Array, " parameters"]) -> Float[Array, " rows"]:
        """``O v`` for a vector of all parameters, leaf after leaf."""
        leaves = self.layout.leaves(vector)
        result = self.columns.dot(self.layout.columns(leaves))
        for i, x, d in self.each_layer():
            result = result + jnp.sum((x @ leaves[i]) * d, axis=(1, 2))
        return result

    def transpose_dot(self, weights: Float[Array, " rows"]) -> Float[Array, " parameters"]:
        """``O^T w``, a vector of all parameters, leaf after leaf."""
        parts = self.layout.from_columns(self.columns.transpose_dot(weights))
        for i, x, d in self.each_layer():
            weighted = d * weights[:, None, None]  # not x: several layers share d
            parts[i] = (x.reshape(-1, x.shape[-1]).T @ weighted.reshape(-1, d.shape[-1])).ravel()
        return self.layout.vector(parts)

    def absolute_means(self) -> Float[Array, " walkers"]:
        """Mean absolute score of each walker, over the parameters; a complex one is a number with its modulus."""

        def sums(scores: Array) -> Array:
            return jnp.sum(jnp.sqrt(jnp.sum(scores * scores, axis=0)), axis=-1)[None]

        def sums_of_rows(rows: Array) -> Array:
            return sums(rows.reshape(self.parts, self.walkers, -1))

        result = self.columns.of_each_walker(sums)
        for _, x, d in self.each_layer():
            result = over_weights(x, d, self.widest, sums_of_rows, None, result)
        return result[0] / self.layout.n_parameters

    def centred_squares(self) -> Float[Array, " parameters"]:
        """Sum over the rows of the squared scores less their mean in each part, for each parameter."""
        parts = self.layout.from_columns(self.columns.centred_squares())
        for i, x, d in self.each_layer():
            parts[i] = _of_each_weight(x, d, self.widest, lambda rows: jnp.sum(centred(rows, self.parts) ** 2, axis=0))
        return self.layout.vector(parts)

    def squared_lengths(self) -> Float[Array, " rows"]:
        """``|O_n|^2`` of each row."""
        result = self.columns.of_each_walker(lambda scores: jnp.sum(scores * scores, axis=-1)).reshape(-1)
        for _, x, d in self.each_layer():
            result = result + jnp.sum((x @ jnp.moveaxis(x, 1, 2)) * (d @ jnp.moveaxis(d, 1, 2)), axis=(1, 2))
        return result

    def matrix(self) -> Float[Array, "rows parameters"]:
        """All of it, written out."""
        parts = self.layout.from_columns(self.columns.matrix())
        for i, x, d in self.each_layer():
            parts[i] = written_out(x, d)
        absent = [jnp.zeros((self.rows, size), self.dtype) for size in self.layout.sizes]
        return jnp.concatenate([parts.get(i, absent[i]) for i in range(len(absent))], axis=1)


def written_out(x: Float[Array, "rows repeats inputs"], d: Float[Array, "rows repeats outputs"]) -> Array:
    """Scores (rows, inputs * outputs) of the weights of a layer."""
    return jnp.einsum("nri,nro->nio", x, d).reshape(len(x), -1)


def _slices(x: Array, d: Array, widest: int) -> Array:
    """Slices (slices, rows, repeats, inputs of a slice) of the inputs of a layer, so thin that the scores of a slice
    are no more columns than ``widest``. The last slice is filled up with zeros."""
    inputs = x.shape[-1]
    width = max(1, min(inputs, widest // d.shape[-1]))
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, -inputs % width)))
    return jnp.moveaxis(padded.reshape(*x.shape[:2], -1, width), 2, 0)


def over_weights(
    x: Float[Array, "rows repeats inputs"],
    d: Float[Array, "rows repeats outputs"],
    widest: int,
    function: Callable[[Array], Array],
    scale: Float[Array, "inputs outputs"] | None,
    start: Array,
) -> Array:
    """``start`` and the sum of ``function(scores * scale)`` over slices of the weights of a layer, which must be zero
    for zero scores."""
    slices = _slices(x, d, widest)
    wanted = slices.shape[0] * slices.shape[-1]
    scales = jnp.ones((slices.shape[0], 1), x.dtype)
    if scale is not None:
        scales = jnp.pad(scale, ((0, wanted - len(scale)), (0, 0))).reshape(slices.shape[0], -1)

    def add(total: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        part, factor = given
        return total + function(written_out(part, d) * factor), None

    return jax.lax.scan(add, start, (slices, scales))[0]


def _of_each_weight(x: Array, d: Array, widest: int, function: Callable[[Array], Array]) -> Array:
    """``function(scores)``, a number for each weight of a layer."""
    sums = jax.lax.map(lambda part: function(written_out(part, d)), _slices(x, d, widest))
    return sums.reshape(-1, d.shape[-1])[: x.shape[-1]].ravel()


def scores(
    log_psi: Callable[..., Array],
    params: PyTree,
    walkers: PyTree,
    *,
    chunk: int | None = None,
    prune: bool = False,
    hold: bool | None = None,
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
    """
    count = n_walkers(walkers)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    room = _room(count, min(chunk or count, count), size)
    program = ScoreProgram.of(log_psi, params, walkers, prune=prune, room=room // count)
    return evaluated(program, params, walkers, chunk=chunk, hold=hold)


def _room(walkers: int, chunk: int, parameters: int) -> int:
    """Numbers that may be held: as many as the Gram matrix and the scores of a chunk of walkers have, and some."""
    return max(FREE, walkers**2 + chunk * parameters)


def evaluated(
    program: ScoreProgram, params: PyTree, walkers: PyTree, *, chunk: int | None = None, hold: bool | None = None
) -> Scores:
    """Scores of all walkers by a program for one; otherwise as `scores`."""
    count = n_walkers(walkers)
    chunk, parts, layout = min(chunk or count, count), program.parts, program.layout
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(params)]
    room = _room(count, chunk, layout.n_parameters)
    if hold is None:
        hold = count * layout.n_explicit <= room
    here = program if hold else program.without_columns()
    of_walkers = jax.lax.map(lambda walker: here(leaves, walker), walkers, batch_size=chunk)

    def stacked(a: Array) -> Array:
        return jnp.moveaxis(a, 1, 0).reshape(parts * count, *a.shape[2:])

    columns: Columns
    if hold:
        values = of_walkers.columns
        empty = jnp.zeros((parts * count, 0), leaves[0].dtype)
        columns = HeldColumns(stacked(values) if values is not None else empty, parts)
    else:
        columns = RecomputedColumns.of(program.without_layers(), leaves, walkers, chunk)
    activations, cotangents = (tuple(map(stacked, a)) for a in (of_walkers.activations, of_walkers.cotangents))
    return Scores(columns, activations, cotangents, layout, parts, room // (count * parts))
