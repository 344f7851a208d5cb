"""The one linear layer that every network is made of.

A layer is a dictionary ``{"w": (inputs, outputs), "b": (outputs,)}`` of parameters and is always applied as
``x @ w + b`` with a contiguous ``x``: natural-gradient optimizers recognise that product and build their
matrices from its activations and cotangents.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Array, Float

Layer = dict[str, Any]
"""Arrays by name: ``w`` and ``b``."""


def init_dense(
    rng: np.random.Generator,
    inputs: int,
    outputs: int,
    *,
    bias: bool = True,
    scale: float = 1.0,
    fan_in: int | None = None,
    dtype: str = "float32",
) -> Layer:
    """Draw a layer with weights of variance ``scale**2 / fan_in``.

    Parameters
    ----------
    rng : numpy.random.Generator
    inputs, outputs : int
        Shape of the weight matrix.
    bias : bool
        Whether the layer has a bias, which starts at zero.
    scale : float
        Factor on the standard deviation of the weights.
    fan_in : int, optional
        Number of inputs that feed one output when the layer is one block of a wider matrix; default ``inputs``.
    dtype : str
        Name of the parameters' dtype.
    """
    width = scale / np.sqrt(max(fan_in or inputs, 1))
    layer = {"w": (rng.standard_normal((inputs, outputs)) * width).astype(dtype)}
    if bias:
        layer["b"] = np.zeros(outputs, dtype)
    return layer


def dense(layer: Layer, x: Float[Array, "*rows inputs"]) -> Float[Array, "*rows outputs"]:
    """Apply a layer to the last axis of ``x``."""
    y = x @ layer["w"]
    return y + layer["b"] if "b" in layer else y
