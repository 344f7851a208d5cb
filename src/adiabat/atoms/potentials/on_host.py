"""Calls from compiled programs back into Python, with every bit of what is handed over."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_log = logging.getLogger(__name__)


def on_host(function: Callable[..., Sequence[Any]], shapes: Sequence[tuple[int, ...]], *arrays: Any) -> tuple[Any, ...]:
    """``function(*arrays)`` on the host, of NumPy arrays; its results are float64 arrays of these shapes.

    The function has to be pure: a program may call it more or less often than it is written.

    XLA calls back in a thread of its choice, where JAX may not know that 64-bit types are enabled and rounds numbers
    that cross to 32 bits or refuses them. So float64 arrays cross as pairs of 32-bit words.
    """
    sent = [jnp.asarray(array) for array in arrays]
    is_double = [array.dtype == jnp.float64 for array in sent]

    def called(*received: Any) -> tuple[Any, ...]:
        known = [np.asarray(array) for array in received]
        doubles = [_doubles(array) if double else array for array, double in zip(known, is_double, strict=True)]
        return tuple(_words(result) for result in function(*doubles))

    words = [jax.lax.bitcast_convert_type(a, jnp.uint32) if d else a for a, d in zip(sent, is_double, strict=True)]
    results = tuple(jax.ShapeDtypeStruct((*shape, 2), np.uint32) for shape in shapes)
    return tuple(
        jax.lax.bitcast_convert_type(result, jnp.float64) for result in jax.pure_callback(called, results, *words)
    )


@functools.cache
def say_once(message: str) -> None:
    """Log a failure. A system that failed may be calculated again as long as it lies in its slot."""
    _log.warning(message)


def _doubles(words: Any) -> Any:
    return np.ascontiguousarray(words).view(np.float64)[..., 0]


def _words(doubles: Any) -> Any:
    return np.ascontiguousarray(doubles, np.float64)[..., None].view(np.uint32)
