"""Spin bookkeeping, once for all networks: electrons are ordered spin up first, then spin down."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Spins:
    """Numbers of spin-up and spin-down electrons."""

    up: int
    down: int

    @property
    def electrons(self) -> int:
        """Total number of electrons."""
        return self.up + self.down

    @property
    def channels(self) -> tuple[slice, ...]:
        """Slices of the electron axis, one for each spin that has electrons."""
        slices = (slice(0, self.up), slice(self.up, self.electrons))
        return tuple(s for s in slices if s.stop > s.start)

    @cached_property
    def signs(self) -> np.ndarray:
        """+1 for spin up, -1 for spin down, shape (electrons,)."""
        return np.array([1.0] * self.up + [-1.0] * self.down)

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices i < j of all electron pairs."""
        return np.triu_indices(self.electrons, 1)

    @cached_property
    def parallel(self) -> np.ndarray:
        """Whether the pairs of ``pairs`` have equal spins."""
        i, j = self.pairs
        return self.signs[i] == self.signs[j]

    def means(self, h: Float[Array, "*rows electrons features"]) -> Float[Array, "*rows channels_features"]:
        """Mean over the electrons of each spin, the channels side by side in the last axis."""
        return jnp.concatenate([jnp.mean(h[..., s, :], axis=-2) for s in self.channels], axis=-1)
