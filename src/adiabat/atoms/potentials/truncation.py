"""How a pair potential that never ends is ended at its cutoff."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from adiabat.atoms.potentials.pair_potential import Number, PairPotential
from adiabat.config import setting
from adiabat.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class TruncatedPairPotential(PairPotential, abc.ABC):
    """A pair potential with infinite range, ended at a cutoff r_c.

    =============  =======================================================================================
    ``shift``      ``U(r) - U(r_c)``: the energy is continuous, the force jumps to zero
    ``none``       ``U(r)``: the energy jumps by U(r_c) as well
    ``switch``     ``S(r) U(r)``: energy and force are continuous; S falls from 1 at the onset r_o to 0:
                   ``S = (r_c^2 - r^2)^2 (r_c^2 + 2 r^2 - 3 r_o^2) / (r_c^2 - r_o^2)^3``
    =============  =======================================================================================

    The switch is that of CHARMM: Brooks et al., J. Comput. Chem. 4, 187 (1983).
    """

    cutoff: float = setting(10.0, above=0, unit="angstrom", help="distance beyond which atoms do not see each other")
    truncation: Literal["shift", "none", "switch"] = setting(
        "shift", help="energies shifted to zero at the cutoff, cut off there, or switched off smoothly"
    )
    onset: float | None = setting(
        None, above=0, unit="angstrom", help="where the switch begins; null: at 0.8 of the cutoff"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.onset is not None and self.truncation != "switch":
            raise InputError(
                f"{type(self).__name__}.onset: got {self.onset:g} angstrom with truncation '{self.truncation}'; "
                "only truncation 'switch' has an onset"
            )
        if self.truncation == "switch" and not self._onset < self.cutoff < float("inf"):
            raise InputError(
                f"{type(self).__name__}: got a switch from {self._onset:g} to {self.cutoff:g} angstrom; expected an "
                "onset below a finite cutoff"
            )

    def tables(self, elements: Sequence[int]) -> tuple[Any, ...]:
        """The parameters, and with 'shift' the energy at the cutoff after them."""
        tables = super().tables(elements)
        if self.truncation != "shift":
            return tables
        at_cutoff, _ = self.energy_and_slope(jnp.asarray(self.cutoff**2, jnp.float64), *tables)
        return (*tables, at_cutoff)

    def truncated(self, r2: Float[Array, "..."], *parameters: Number) -> tuple[Any, Any]:
        """Energy and ``U'(r)/r`` within the cutoff."""
        if self.truncation == "shift":
            *parameters, at_cutoff = parameters  # type: ignore[assignment]
            energy, slope = self.energy_and_slope(r2, *parameters)
            return energy - at_cutoff, slope
        energy, slope = self.energy_and_slope(r2, *parameters)
        if self.truncation == "none":
            return energy, slope
        share, share_slope = self._switch(r2)
        return share * energy, share * slope + share_slope * energy

    @property
    def _onset(self) -> float:
        return 0.8 * self.cutoff if self.onset is None else self.onset

    def _switch(self, r2: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """S and ``S'(r)/r`` within the cutoff."""
        onset2, cutoff2 = self._onset**2, self.cutoff**2
        scale = 1 / (cutoff2 - onset2) ** 3
        left = cutoff2 - r2
        on = r2 > onset2
        return (
            jnp.where(on, scale * left**2 * (cutoff2 + 2 * r2 - 3 * onset2), 1.0),
            jnp.where(on, -12 * scale * left * (r2 - onset2), 0.0),
        )
