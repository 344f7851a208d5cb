"""A bound that XLA does not fuse across."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool


def stored(due: Bool[Array, ""], function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``, computed once and stored; zeros if not `due`, which must be unknown to the compiler.

    On a CPU, XLA fuses whatever is cheap into each of its consumers and computes it anew for every element that they
    look up. What some hundred places look up is then computed some hundred times, which for the search for neighbors
    made a factor of thirty. An `optimization_barrier` is gone there before fusion begins; a branch is not.
    """
    shapes = jax.eval_shape(function, *arguments)

    def nothing(*_: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    return jax.lax.cond(due, function, nothing, *arguments)
