"""The scores of one walker: which parameters are in layers, and a program that takes their derivatives accordingly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from adiabat.errors import InputError
from adiabat.vmc.scores.layers import TracedFunction, trace
from adiabat.vmc.scores.layout import Layout

PyTree = Any


class OfOneWalker(NamedTuple):
    """Scores of one walker.

    Attributes
    ----------
    columns : (parts, explicit parameters), optional
        Of the parameters that are not kept by layers, side by side; None if there are none.
    activations : list of (parts, repeats, inputs)
        Of each layer.
    cotangents : list of (parts, repeats, outputs)
        Each once, however many layers share it.
    """

    columns: Array | None
    activations: list[Array]
    cotangents: list[Array]


@dataclass(frozen=True, eq=False)
class ScoreProgram:
    """``(leaves, walker)`` to the scores of the walker."""

    traced: TracedFunction
    layout: Layout
    parts: int
    """1 for a real log psi, 2 for real and imaginary part of a complex one."""

    @staticmethod
    def of(
        log_psi: Callable[..., Array],
        params: PyTree,
        walkers: PyTree,
        *,
        prune: bool = False,
        room: int = 0,
        every_layer: bool = False,
    ) -> ScoreProgram:
        """Of ``log_psi`` as a function of real parameters and one of these walkers.

        Parameters
        ----------
        prune : bool
            Leave out parameters that do not reach the output.
        room : int
            Numbers for each walker up to which the weights of layers may be columns where products of columns are
            cheaper.
        every_layer : bool
            Keep all layers as activations and cotangents, whatever is cheaper or smaller.
        """
        one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), walkers)
        is_complex = jnp.issubdtype(jax.eval_shape(log_psi, params, one).dtype, jnp.complexfloating)

        def parts(params: PyTree, walker: PyTree) -> Array:
            value = log_psi(params, walker)
            return jnp.stack([value.real, value.imag]) if is_complex else value[None]

        traced = trace(parts, params, one)
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(params))
        wanted = sorted(traced.reaching) if prune else range(len(shapes))
        if not wanted:
            raise InputError("no parameter reaches log psi, so that there is nothing to optimize")
        layers = traced.layers if every_layer else _layers_to_keep(traced, shapes, wanted, room)
        explicit = tuple(i for i in wanted if i not in layers)
        repeats = tuple(_repeats(traced, i) for i in layers)
        distinct = _distinct_taps(traced, layers)
        cotangents = tuple(distinct.index(_taps(traced, i)) for i in layers)
        layout = Layout(shapes, layers, repeats, tuple(traced.biases.items()), explicit, cotangents)
        return ScoreProgram(traced, layout, 2 if is_complex else 1)

    def without_columns(self) -> ScoreProgram:
        """The layers only."""
        return replace(self, layout=replace(self.layout, explicit=()))

    def without_layers(self) -> ScoreProgram:
        """The columns only."""
        return replace(self, layout=replace(self.layout, layers=(), repeats=(), cotangents=()))

    def __call__(self, leaves: Sequence[Array], walker: PyTree) -> OfOneWalker:
        """Scores of a walker with these parameters."""
        plain = [i for i in self.layout.explicit if i not in self.traced.layers]

        def outputs(explicit: list[Array], taps: list[Array]) -> tuple[Array, list[Array]]:
            merged = list(leaves)
            for i, leaf in zip(plain, explicit, strict=True):
                merged[i] = leaf
            (value,), activations = self.traced.tapped(merged, jax.tree.leaves(walker), taps)
            return value, activations

        taps = self.traced.zero_taps(leaves[0].dtype)
        value, pullback, activations = jax.vjp(outputs, [leaves[i] for i in plain], taps, has_aux=True)
        grads, cotangents = jax.vmap(pullback)(jnp.eye(len(value), dtype=value.dtype))
        return self._arranged(dict(zip(plain, grads, strict=True)), activations, cotangents)

    def _arranged(self, columns: dict[int, Array], activations: list[Array], cotangents: list[Array]) -> OfOneWalker:
        """All uses of a layer as one, and the layers that are not kept as columns."""
        uses: dict[int, list[Array]] = {i: [] for i in self.traced.layers}
        for use, x in zip(self.traced.uses, activations, strict=True):
            uses[use.leaf].append(x.reshape(-1, x.shape[-1]))
        inputs = {leaf: jnp.concatenate(used) for leaf, used in uses.items()}
        by_taps = {
            taps: jnp.concatenate([cotangents[tap] for tap in taps], axis=1)
            for taps in _distinct_taps(self.traced, self.traced.layers)
        }
        for leaf, x in inputs.items():
            columns[leaf] = jnp.einsum("ri,pro->pio", x, by_taps[_taps(self.traced, leaf)])
        rows = [columns[i].reshape(self.parts, -1) for i in self.layout.explicit]
        return OfOneWalker(
            jnp.concatenate(rows, axis=1) if rows else None,
            [jnp.broadcast_to(inputs[i], (self.parts, *inputs[i].shape)) for i in self.layout.layers],
            [by_taps[taps] for taps in _distinct_taps(self.traced, self.layout.layers)],
        )


def _repeats(traced: TracedFunction, leaf: int) -> int:
    return sum(use.rows for use in traced.uses if use.leaf == leaf)


def _taps(traced: TracedFunction, leaf: int) -> tuple[int, ...]:
    """The cotangents of a layer, one for each use."""
    return tuple(use.tap for use in traced.uses if use.leaf == leaf)


def _distinct_taps(traced: TracedFunction, layers: Sequence[int]) -> list[tuple[int, ...]]:
    """The cotangents of layers, each once: the order in which they are kept."""
    return list(dict.fromkeys(_taps(traced, leaf) for leaf in layers))


def _layers_to_keep(
    traced: TracedFunction, shapes: Sequence[tuple[int, ...]], wanted: Sequence[int], room: int
) -> tuple[int, ...]:
    """Layers whose products are cheaper by activations and cotangents than by columns. All for which these are fewer
    numbers, where the columns of the others would not fit."""
    smaller = [i for i in traced.layers if i in wanted and _is_smaller_by_layer(traced, shapes, i)]
    cheaper = [i for i in smaller if layer_cost(_repeats(traced, i), *shapes[i]) < weights_cost(*shapes[i])]
    columns = sum(math.prod(shapes[i]) for i in wanted if i not in cheaper)
    return tuple(cheaper if columns <= room else smaller)


def _is_smaller_by_layer(traced: TracedFunction, shapes: Sequence[tuple[int, ...]], leaf: int) -> bool:
    """Whether activations and cotangents of a layer are fewer numbers than the scores of its weights."""
    inputs, outputs = shapes[leaf]
    return _repeats(traced, leaf) * (inputs + outputs) < inputs * outputs


ELEMENTWISE_COST = 25
"""Multiplications that one elementwise product of two large matrices costs as much as."""


def layer_cost(repeats: int, inputs: int, outputs: int) -> int:
    """Multiplications of a layer's share of one element of a Gram matrix by activations and cotangents."""
    return repeats**2 * (inputs + outputs + ELEMENTWISE_COST)


def weights_cost(inputs: int, outputs: int) -> int:
    """Multiplications of its share by scores that are written out."""
    return inputs * outputs
