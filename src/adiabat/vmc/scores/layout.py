"""Where each parameter is: in one vector of all of them, in the layers, among the columns that are of no layer."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Layout:
    """Numbers of the leaves of the parameters, and their shapes.

    Attributes
    ----------
    shapes : tuple
        Of all leaves.
    layers : tuple of int
        Leaves that are the weights of a layer.
    repeats : tuple of int
        For each of these, how many rows (electrons, pairs) share the weights.
    biases : tuple of pairs
        Weights of a layer and the bias that goes with them.
    explicit : tuple of int
        Leaves that are columns, biases included. Those neither here nor in a layer do not reach the output.
    cotangents : tuple of int
        For each layer, which cotangents are its own; layers whose products are added up share them.
    """

    shapes: tuple[tuple[int, ...], ...]
    layers: tuple[int, ...]
    repeats: tuple[int, ...]
    biases: tuple[tuple[int, int], ...]
    explicit: tuple[int, ...]
    cotangents: tuple[int, ...]

    @property
    def n_parameters(self) -> int:
        """Numbers in all leaves."""
        return sum(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """Numbers in each leaf."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def n_explicit(self) -> int:
        """Numbers in the leaves that are columns."""
        return sum(self.sizes[i] for i in self.explicit)

    def leaves(self, vector: Float[Array, " parameters"]) -> list[Array]:
        """A vector of all parameters, leaf by leaf."""
        parts = jnp.split(vector, [*itertools.accumulate(self.sizes)][:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def vector(self, leaves: dict[int, Array]) -> Float[Array, " parameters"]:
        """A vector of all parameters from its leaves; zero for those that are not given."""
        dtype = jnp.result_type(*leaves.values())
        parts = [leaves[i].ravel() if i in leaves else jnp.zeros(size, dtype) for i, size in enumerate(self.sizes)]
        return jnp.concatenate(parts)

    def columns(self, leaves: list[Array]) -> Float[Array, " explicit"]:
        """Those of the leaves that are columns, side by side."""
        return jnp.concatenate([leaves[i].ravel() for i in self.explicit] or [jnp.zeros(0, leaves[0].dtype)])

    def from_columns(self, columns: Float[Array, "*rows explicit"]) -> dict[int, Array]:
        """The leaves that are columns, along the last axis."""
        ends = itertools.accumulate(self.sizes[i] for i in self.explicit)
        return dict(zip(self.explicit, jnp.split(columns, [*ends][:-1], axis=-1), strict=False))
