"""What optimizers share that follow the natural gradient of a wavefunction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Inexact

from adiabat.config import check_settings
from adiabat.engine.schedules import check_schedules
from adiabat.vmc.protocols import NumericWavefunctionEvaluate
from adiabat.vmc.scores.real_parameters import as_given, as_real, of_real

PyTree = Any


class NaturalGradient:
    """Base of the dataclasses of such optimizers, which have settings of damping and are wired to ``f_log_psi``."""

    f_log_psi: NumericWavefunctionEvaluate | None

    needs_gradient: ClassVar[bool] = False
    """The direction follows from the residuals of the energies and the scores; a gradient beside them would be in
    vain."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_schedules(self)

    def log_psi(self, params: PyTree) -> Callable[..., Array]:
        """log psi as a function of real parameters and one walker.

        Raises
        ------
        ValueError
            If the optimizer was not wired to it.
        """
        if self.f_log_psi is None:
            raise ValueError(f"{type(self).__name__} was used before it was wired: give it f_log_psi")
        return of_real(self.f_log_psi, params)


@dataclass(frozen=True)
class Slope:
    """Where the energy rises, known by the residuals of its local values or by its gradient."""

    rows: Float[Array, " rows"] | None
    """Right-hand side e of stochastic reconfiguration; the gradient is ``O^T e``."""
    gradient: Float[Array, " parameters"] | None

    @staticmethod
    def of(grads: PyTree, residuals: Inexact[Array, " walkers"] | None, parts: int) -> Slope:
        """Of what an optimizer was given; the residuals, if it was given both.

        Raises
        ------
        ValueError
            If it was given neither.
        """
        if residuals is not None:
            return Slope(as_rows(residuals, parts), None)
        if grads is None:
            raise ValueError("an update needs the gradient of the energy, or residuals= of the local energies")
        return Slope(None, ravel_pytree(as_real(grads))[0])

    def along(self, direction: Float[Array, " parameters"], moved: Float[Array, " rows"]) -> Float[Array, ""]:
        """Along a direction d, of which ``moved`` is O d."""
        if self.gradient is not None:
            return direction @ self.gradient
        assert self.rows is not None
        return moved @ self.rows


def as_rows(residuals: Inexact[Array, " walkers"], parts: int) -> Float[Array, " rows"]:
    """Residuals of the local energies as the right-hand side for real parameters.

    One row a walker for a real log psi; for a complex one real parts, then imaginary ones, zero where there are none.
    """
    return residuals.real if parts == 1 else jnp.concatenate([residuals.real, residuals.imag])


def as_updates(vector: Float[Array, " parameters"], params: PyTree) -> PyTree:
    """A vector of all parameters, complex ones as pairs of real ones, as updates of ``params``."""
    _, as_parameters = ravel_pytree(as_real(params))
    return as_given(as_parameters(vector), params)
