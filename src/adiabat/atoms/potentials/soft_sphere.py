"""Soft spheres, which repel each other where they overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.potentials.pair_parameters import Parameter
from adiabat.atoms.potentials.pair_potential import Number, PairPotential
from adiabat.config import setting


@dataclass(frozen=True, eq=False, kw_only=True)
class SoftSphere(PairPotential):
    """``U(r) = (epsilon/alpha) (1 - r/sigma)^alpha`` for r < sigma, with `pairs` ``{("Ar", "Ar"): (epsilon, sigma)}``.

    The cutoff is the largest sigma. O'Hern, Silbert, Liu and Nagel, Phys. Rev. E 68, 011306 (2003).

    Raises
    ------
    InputError
        If parameters are negative or not two numbers, a symbol is no element, or alpha is not greater than 1; from
        `check` for a system with a pair of elements that has no parameters.
    """

    alpha: float = setting(2.0, above=1, help="exponent; 2: springs, 2.5: spheres of Hertz")

    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("epsilon", "eV", can_be_zero=True),
        Parameter("sigma", "angstrom"),
    )

    @property
    def cutoff(self) -> float:
        """The largest sigma, in angstrom."""
        return max((sigma for _, sigma in self.by_elements.values()), default=1.0)

    def energy_and_slope(self, r2: Float[Array, "..."], *parameters: Number) -> tuple[Any, Any]:
        """U and ``U'(r)/r``."""
        epsilon, sigma = parameters
        r = jnp.sqrt(r2)
        overlap = jnp.maximum(1.0 - r / sigma, 0.0)
        power = overlap if self.alpha == 2 else overlap ** (self.alpha - 1)
        return (epsilon / self.alpha) * power * overlap, (-epsilon / sigma) * power / r
