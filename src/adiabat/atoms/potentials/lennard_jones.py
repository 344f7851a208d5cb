"""Lennard-Jones, with parameters of the noble gases."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar, Literal

from jaxtyping import Array, Float

from adiabat.atoms.potentials.pair_parameters import ElementPair, Parameter, pair_name
from adiabat.atoms.potentials.pair_potential import Number
from adiabat.atoms.potentials.truncation import TruncatedPairPotential
from adiabat.config import setting
from adiabat.units import BOLTZMANN

NOBLE_GASES: dict[int, tuple[float, float]] = {
    2: (10.22 * BOLTZMANN, 2.556),  # helium
    10: (0.0031, 2.74),  # neon
    18: (0.0104, 3.40),  # argon
    36: (0.0140, 3.65),  # krypton
    54: (0.0200, 3.98),  # xenon
}
"""epsilon in eV and sigma in angstrom by atomic number. Helium: de Boer and Michels, Physica 5, 945 (1938). The others:
Bernardes, Phys. Rev. 112, 1534 (1958), as in Kittel, Introduction to Solid State Physics, ch. 3, where epsilon is 50,
167, 225 and 320 in 1e-16 erg; here rounded to 0.1 meV as in Ashcroft and Mermin, Solid State Physics, ch. 20."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LennardJones(TruncatedPairPotential):
    """``U(r) = 4 epsilon ((sigma/r)^12 - (sigma/r)^6)``, with `pairs` ``{("Ar", "Kr"): (epsilon, sigma)}``.

    Noble gases need no parameters (`NOBLE_GASES`); those given go first. The default cutoff is 2.5 sigma of xenon, the
    largest of them. With ``mixing="lorentz-berthelot"`` unlike pairs that are not given have
    ``epsilon_ij = sqrt(epsilon_i epsilon_j)`` and ``sigma_ij = (sigma_i + sigma_j)/2``.

    Jones, Proc. R. Soc. Lond. A 106, 463 (1924). Mixing: Lorentz, Ann. Phys. 248, 127 (1881); Berthelot, C. R. Acad.
    Sci. 126, 1703 (1898).

    Raises
    ------
    InputError
        If parameters are negative or not two numbers, a symbol is no element, or the cutoff is not positive; from
        `check` for a system with a pair of elements that has no parameters.
    """

    mixing: Literal["lorentz-berthelot"] | None = setting(
        None, help="rule for unlike pairs that are not given; null: they must be given"
    )

    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("epsilon", "eV", can_be_zero=True),
        Parameter("sigma", "angstrom"),
    )

    @property
    def name(self) -> str:
        """Lennard-Jones."""
        return "Lennard-Jones"

    def parameters_of(self, pair: ElementPair) -> tuple[float, ...] | None:
        """epsilon and sigma of a pair: as given, built in, or mixed; None if there are none."""
        given = super().parameters_of(pair)
        first, second = pair
        if given is not None:
            return given
        if first == second:
            return NOBLE_GASES.get(first)
        if self.mixing is None:
            return None
        one, other = self.parameters_of((first, first)), self.parameters_of((second, second))
        if one is None or other is None:
            return None
        return sqrt(one[0] * other[0]), (one[1] + other[1]) / 2

    def energy_and_slope(self, r2: Float[Array, "..."], *parameters: Number) -> tuple[Any, Any]:
        """U and ``U'(r)/r``; one division, no root."""
        epsilon, sigma = parameters
        inverse = 1.0 / r2
        s2 = (sigma * sigma) * inverse
        s6 = s2 * s2 * s2
        return (4 * epsilon) * s6 * (s6 - 1.0), (-24 * epsilon) * s6 * (2.0 * s6 - 1.0) * inverse

    def _missing(self, pair: ElementPair) -> str:
        first, second = pair
        if self.mixing is not None and first != second:
            lacking = first if self.parameters_of((first, first)) is None else second
            return f"{super()._missing((lacking, lacking))}, from which those of {pair_name(pair)} are mixed"
        can_mix = first != second and self.parameters_of((first, first)) and self.parameters_of((second, second))
        return super()._missing(pair) + (", or set mixing: lorentz-berthelot" if can_mix else "")
