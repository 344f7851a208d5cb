"""Damping that follows from how far the walkers of the next step confirm what a step promised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.config import check_settings, setting
from adiabat.engine.schedules import at
from adiabat.errors import InputError

MEMORY = 0.9
"""Share of the earlier steps in the averages that are compared: the slope of a single step is noise."""


@dataclass(frozen=True)
class AutoDamping:
    """Damping by a trust ratio: the slope of the energy along the last direction as fresh walkers find it, over the
    slope that the direction promised on the walkers it was made from.

    A step that is too long turns the slope around, and a direction that has learned the noise of its walkers by heart
    finds none with others: both give a small ratio, and more damping. A ratio near one leaves room for less. The rule
    is that of Levenberg and Marquardt, with a ratio that costs nothing and does not trust the sample it was fitted to.
    """

    start: float = setting(1e-3, above=0, help="damping at the first step")
    lowest: float = setting(1e-6, above=0, help="it never falls below this")
    highest: float = setting(1.0, above=0, help="nor rises above this")
    factor: float = setting(0.97, above=0, below=1, help="by which a step lowers it, or its inverse raises it")
    trust: float = setting(0.3, above=0, below=1, help="ratio above which it falls")
    doubt: float = setting(0.1, above=0, below=1, help="ratio below which it rises")

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.lowest <= self.start <= self.highest:
            given = f"{self.lowest:g}, {self.start:g} and {self.highest:g}"
            raise InputError(f"AutoDamping: expected lowest <= start <= highest, got {given}")
        if not self.doubt <= self.trust:
            raise InputError(f"AutoDamping: expected doubt <= trust, got {self.doubt:g} and {self.trust:g}")


class DampingState(NamedTuple):
    """Damping in force, and averages of promised and confirmed slopes."""

    damping: Float[Array, ""]
    promised: Float[Array, ""]
    confirmed: Float[Array, ""]
    last: Float[Array, ""]
    """Slope that the last direction promised; 0 before the first."""

    @property
    def trust_ratio(self) -> Float[Array, ""]:
        """Confirmed over promised; 1 as long as nothing was promised."""
        known = self.promised > 0
        return jnp.where(known, self.confirmed / jnp.where(known, self.promised, 1), 1.0)


def init_damping(damping: Any) -> DampingState:
    """State before the first step."""
    zero = jnp.zeros((), jnp.float32)
    start = damping.start if isinstance(damping, AutoDamping) else at(damping, 0)
    return DampingState(jnp.asarray(start, jnp.float32), zero, zero, zero)


def next_damping(damping: Any, state: DampingState, step: Array, slope: Float[Array, ""]) -> DampingState:
    """Damping of a step, of which ``slope`` is that of the energy along the last direction with its walkers."""
    if not isinstance(damping, AutoDamping):
        return state._replace(damping=at(damping, step))
    begun, slope = state.last > 0, slope.astype(jnp.float32)
    state = state._replace(
        promised=jnp.where(begun, MEMORY * state.promised + (1 - MEMORY) * state.last, state.promised),
        confirmed=jnp.where(begun, MEMORY * state.confirmed + (1 - MEMORY) * slope, state.confirmed),
    )
    ratio = state.trust_ratio
    change = jnp.where(ratio > damping.trust, damping.factor, jnp.where(ratio < damping.doubt, 1 / damping.factor, 1.0))
    raised = jnp.where(begun, state.damping * change, state.damping)
    return state._replace(damping=jnp.clip(raised, damping.lowest, damping.highest).astype(jnp.float32))
