"""The logarithm of a wavefunction as the rest of the program uses it: one differentiable number of one walker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from adiabat.vmc.protocols import Walker


@dataclass(frozen=True)
class LogPsi:
    """``log psi(params, walker)``: log|psi| of a real wavefunction, the complex logarithm of a complex one.

    Parameters
    ----------
    function : callable
        ``(params, x)``, returning ``(log|psi|, phase)`` with a phase that is constant between nodes, or one number.
        x is the walker's only field, or the mapping of all fields where it has several.
    """

    function: Callable[[Any, Any], Any]

    def __call__(self, params: Any, walker: Walker) -> Array:
        """Value for one walker."""
        x = next(iter(walker.values())) if len(walker) == 1 else walker
        value = self.function(params, x)
        return jnp.asarray(value[0] if isinstance(value, tuple) else value)

    def log_abs(self, params: Any, walker: Walker) -> Array:
        """log|psi| of one walker."""
        return jnp.real(self(params, walker))


def as_log_psi(function: Any) -> LogPsi:
    """A `LogPsi` of a wavefunction's ``log_psi``."""
    return function if isinstance(function, LogPsi) else LogPsi(function)
