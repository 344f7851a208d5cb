"""Morse's potential of a bond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.potentials.pair_parameters import Parameter
from adiabat.atoms.potentials.pair_potential import Number
from adiabat.atoms.potentials.truncation import TruncatedPairPotential


@dataclass(frozen=True, eq=False, kw_only=True)
class Morse(TruncatedPairPotential):
    """``U(r) = D (exp(-2 a (r - r_0)) - 2 exp(-a (r - r_0)))``, with `pairs` ``{("Cu", "Cu"): (D, a, r_0)}``.

    The well is D deep at the distance r_0. Morse, Phys. Rev. 34, 57 (1929); for crystals Girifalco and Weizer, Phys.
    Rev. 114, 687 (1959), where parameters of cubic metals are.

    Raises
    ------
    InputError
        If parameters are negative or not three numbers, a symbol is no element, or the cutoff is not positive; from
        `check` for a system with a pair of elements that has no parameters.
    """

    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("D", "eV", can_be_zero=True),
        Parameter("a", "1/angstrom"),
        Parameter("r_0", "angstrom"),
    )

    def energy_and_slope(self, r2: Float[Array, "..."], *parameters: Number) -> tuple[Any, Any]:
        """U and ``U'(r)/r``."""
        depth, steepness, equilibrium = parameters
        r = jnp.sqrt(r2)
        decay = jnp.exp(-steepness * (r - equilibrium))
        return depth * decay * (decay - 2.0), (-2 * depth * steepness) * decay * (decay - 1.0) / r
