"""What optimizers share that follow the natural gradient of a wavefunction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Inexact

from adiabat.config import check_settings
from adiabat.engine.schedules import check_schedules
from adiabat.vmc.optimizers.auto_damping import check_damping
from adiabat.vmc.protocols import NumericWavefunctionEvaluate
from adiabat.vmc.scores.real_parameters import as_given, as_real, of_real

PyTree = Any


class NaturalGradient:
    """Base of the dataclasses of such optimizers, which have settings of damping and are wired to ``f_log_psi``."""

    f_log_psi: NumericWavefunctionEvaluate | None

    needs_gradient: ClassVar[bool] = False
    """The direction follows from the residuals of the energies and the scores; a gradient would be computed in vain."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_schedules(self, "damping")
        check_damping(self)

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


def as_rows(residuals: Inexact[Array, " walkers"], parts: int) -> Float[Array, " rows"]:
    """Residuals of the local energies as the right-hand side for real parameters.

    One row a walker for a real log psi; for a complex one real parts, then imaginary ones, zero where there are none.
    """
    return residuals.real if parts == 1 else jnp.concatenate([residuals.real, residuals.imag])


def as_updates(vector: Float[Array, " parameters"], params: PyTree) -> PyTree:
    """A vector of all parameters, complex ones as pairs of real ones, as updates of ``params``."""
    _, as_parameters = ravel_pytree(as_real(params))
    return as_given(as_parameters(vector), params)
