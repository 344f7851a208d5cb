"""Scalars that change from step to step: callables of the step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from adiabat.config import check_settings, setting

Schedule = float | Callable[[Array], Array]
"""A number, or a function of the step that returns one."""


@dataclass(frozen=True)
class Standard:
    """``rate * (1 / (1 + step / delay)) ** decay``."""

    rate: float = setting(0.05, above=0, help="value at step 0")
    delay: float = setting(2000.0, above=0, help="steps after which it has fallen by 2 ** decay")
    decay: float = setting(1.0, min=0, help="exponent of the decay; 0 keeps the rate")

    def __post_init__(self) -> None:
        check_settings(self)

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """Value at a step."""
        time = jnp.asarray(step, jnp.float32)
        return jnp.asarray(self.rate, jnp.float32) * (1 / (1 + time / self.delay)) ** self.decay


def at(schedule: Schedule, step: Int[Array, ""]) -> Float[Array, ""]:
    """Value of a number or schedule at a step, float32."""
    return jnp.asarray(schedule(step) if callable(schedule) else schedule, jnp.float32)
