"""The gradient of the energy, with outliers of the local energy clipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Inexact

from adiabat.config import check_settings, setting, wired
from adiabat.vmc.protocols import NumericWavefunctionEvaluate, Walker
from adiabat.vmc.walkers import weighted_gradient


class EnergyStatistics(NamedTuple):
    """Mean and spread of the local energies of one step, never clipped, in float64."""

    mean: Inexact[Array, ""]
    variance: Float[Array, ""]
    nonfinite: Float[Array, ""]


def energy_statistics(energies: Inexact[Array, " walkers"]) -> EnergyStatistics:
    """Two-pass mean and variance in float64; non-finite energies are counted and stay in the mean."""
    wide = energies.astype(jnp.promote_types(energies.dtype, jnp.float64))
    mean = jnp.mean(wide)
    variance = jnp.mean(jnp.abs(wide - mean) ** 2)
    return EnergyStatistics(mean, variance, jnp.sum((~jnp.isfinite(energies)).astype(jnp.float64)))


def clip_local_energies(energies: Inexact[Array, " walkers"], width: float | None) -> Inexact[Array, " walkers"]:
    """Clip to ``median +- width * mean absolute deviation from the median``.

    Real and imaginary parts are clipped each by itself. None leaves the energies as they are.
    """
    if width is None:
        return energies
    if jnp.iscomplexobj(energies):
        return clip_local_energies(energies.real, width) + 1j * clip_local_energies(energies.imag, width)
    median = jnp.median(energies)
    deviation = jnp.mean(jnp.abs(energies - median))
    return jnp.clip(energies, median - width * deviation, median + width * deviation)


@dataclass(frozen=True)
class LossAndGrad:
    """Energy gradient ``2 Re <conj(O) (E - <E>)>``, O the logarithmic derivatives, as one weighted backward pass.

    Subtracting the mean energy from every walker makes the result independent of a constant added to the energy,
    an imaginary one included.

    Parameters
    ----------
    clip : float, optional
        Local energies are clipped to this many mean absolute deviations around the median, in the gradient only.
    """

    clip: float | None = setting(
        5.0, above=0, help="clip local energies to median +- this many mean absolute deviations; null: never"
    )
    f_log_psi: NumericWavefunctionEvaluate | None = wired()
    chunk: int | None = wired()
    mesh: Mesh | None = wired()

    def __post_init__(self) -> None:
        check_settings(self)

    def residuals(self, energies: Inexact[Array, " walkers"]) -> Inexact[Array, " walkers"]:
        """``2 (E_n - <E>) / sqrt(N)`` of the clipped energies: the right-hand side of stochastic reconfiguration.

        The gradient is the product of these and the scores that are centred and divided by sqrt(N).
        """
        clipped = clip_local_energies(energies, self.clip)
        return 2 * (clipped - jnp.mean(clipped)) / jnp.sqrt(jnp.asarray(len(energies), energies.real.dtype))

    def gradient(self, params: Any, walkers: Walker, residuals: Inexact[Array, " walkers"]) -> Any:
        """Gradient of the energy, a pytree like the parameters."""
        if self.f_log_psi is None:
            raise ValueError("LossAndGrad was used before it was wired to f_log_psi")
        weights = residuals / jnp.sqrt(jnp.asarray(len(residuals), residuals.real.dtype))
        return weighted_gradient(self.f_log_psi, params, walkers, weights, chunk=self.chunk, mesh=self.mesh)
