"""The local energy E_L(x) = (H psi)(x) / psi(x): estimators of one walker, evaluated together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import folx
import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.vmc.log_psi import as_log_psi
from adiabat.vmc.protocols import EstimatorLike, Walker

Estimates = Mapping[str, Array]


@dataclass(frozen=True)
class KineticEnergy:
    """``-1/2 (laplacian log psi + (grad log psi)**2)`` summed over the particles of one field, in hartree.

    The forward Laplacian (Li et al., Nature Machine Intelligence 6, 209, 2024) propagates value, gradient and
    Laplacian together; a complex log psi goes through the same formula.

    Parameters
    ----------
    f_log_psi : callable
        ``log_psi`` of the wavefunction, of the parameters and one walker.
    field : str
        Field of the walker that holds the coordinates.
    """

    f_log_psi: Any
    field: str = "electrons"

    def evaluate(self, params: Any, walker: Walker, previous: Estimates) -> Array:
        """Kinetic energy of one walker."""
        del previous

        f_log_psi = as_log_psi(self.f_log_psi)

        def log_psi(x: Float[Array, "particles 3"]) -> Array:
            return f_log_psi(params, {**walker, self.field: x})

        # Dense Jacobians: with few coordinates the bookkeeping of sparse ones costs more than it saves.
        result = folx.forward_laplacian(log_psi, sparsity_threshold=0)(walker[self.field])
        gradient = result.jacobian.dense_array
        return -0.5 * (result.laplacian + jnp.sum(gradient * gradient))


@dataclass(frozen=True)
class Potential:
    """A multiplicative potential, ``function(coordinates)`` in hartree."""

    function: Callable[[Array], Array]
    field: str = "electrons"

    def evaluate(self, params: Any, walker: Walker, previous: Estimates) -> Array:
        """Potential energy of one walker."""
        del params, previous
        return self.function(walker[self.field])


@dataclass(frozen=True)
class Total:
    """Sum of earlier estimators: of kinetic and potential energy, the local energy."""

    parts: tuple[str, ...] = ("kinetic", "potential")

    def evaluate(self, params: Any, walker: Walker, previous: Estimates) -> Array:
        """Sum of the named parts of one walker."""
        del params, walker
        return jnp.sum(jnp.stack([previous[part] for part in self.parts]))


def evaluate_all(estimators: Mapping[str, EstimatorLike], params: Any, walker: Walker) -> dict[str, Array]:
    """Values of all estimators for one walker, in their order; each may read the results before it."""
    values: dict[str, Array] = {}
    for name, estimator in estimators.items():
        values[name] = estimator.evaluate(params, walker, values)
    return values
