"""Springs to sites: the Einstein crystal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.neighbors.lattice import fractional, periodic_part, reciprocal
from adiabat.atoms.potentials.potential import Potential
from adiabat.config import check_settings, setting
from adiabat.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class Harmonic(Potential):
    """``E = k/2 sum_i |x_i - s_i|^2``: each atom on a spring to a site of its own.

    The sites s are those given, (n, 3) for systems of n atoms, or else a field of the batch (`field`). Where a system
    is periodic the spring goes to the nearest image of the site, so that wrapped atoms feel what they felt before; in
    a skewed cell that holds up to half the smallest distance of its faces. Sites stay where they are when the cell is
    strained, so there is no stress.

    Frenkel and Ladd, J. Chem. Phys. 81, 3188 (1984).

    Raises
    ------
    InputError
        If the spring constant is negative or the sites are no array (n, 3); from `check` if a batch has no such field
        or a system has another number of atoms.
    """

    spring_constant: float = setting(1.0, min=0, unit="eV/angstrom^2", help="k, the same for all atoms")
    sites: Any = setting(None, help="sites (n, 3) in angstrom; null: those of the field")
    field: str = setting("sites", help="field of the batch, three numbers an atom, with the sites")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.sites is None:
            return
        try:
            sites = np.array(self.sites, np.float64)
        except (TypeError, ValueError):
            sites = np.full((1,), np.nan)
        if sites.ndim != 2 or sites.shape[1] != 3 or not np.isfinite(sites).all():
            raise InputError(f"Harmonic.sites: got an array of shape {sites.shape}; expected finite numbers (n, 3)")
        object.__setattr__(self, "sites", sites)

    @property
    def gives(self) -> frozenset[str]:
        """Energy and forces."""
        return frozenset({"energy", "forces"})

    @property
    def reads(self) -> frozenset[str]:
        """The field with the sites, if they are not given."""
        return frozenset() if self.sites is not None else frozenset({self.field})

    def check(self, batch: Batch) -> None:
        """Raise `InputError` if there is not one site for each atom."""
        if self.sites is not None:
            counts = np.sum(np.asarray(batch.numbers) > 0, axis=1)
            wrong = np.flatnonzero((counts > 0) & (counts != len(self.sites)))
            if len(wrong):
                raise InputError(
                    f"Harmonic: got {len(self.sites)} sites for the {counts[wrong[0]]} atoms of slot {wrong[0]}; "
                    "expected one for each atom"
                )
        elif self.field not in batch.atom_fields:
            raise InputError(
                f"Harmonic: the systems have no field '{self.field}' with the sites of their atoms; "
                f"they have {', '.join(batch.atom_fields) or 'none'}; give one, or sites"
            )
        elif batch.atom_fields[self.field].shape[2:] != (3,):
            raise InputError(
                f"Harmonic: the field '{self.field}' has {batch.atom_fields[self.field].shape[2:]} numbers an atom; "
                "expected (3,)"
            )

    def evaluate(self, batch: Batch) -> Batch:
        """The batch with energy and forces."""
        displacement = _nearest_image(batch, batch.positions - self._sites(batch))
        displacement = jnp.where(batch.real[..., None], displacement, 0.0)
        return batch.replace(
            energy=0.5 * self.spring_constant * jnp.sum(displacement**2, axis=(1, 2)),
            forces=-self.spring_constant * displacement,
            stress=jnp.zeros((batch.n_systems, 3, 3)),
        )

    def _sites(self, batch: Batch) -> Float[Array, "#S N 3"]:
        if self.sites is None:
            return jnp.asarray(batch.atom_fields[self.field], jnp.float64)
        missing = batch.n_slot_atoms - len(self.sites)
        return jnp.asarray(np.pad(self.sites, ((0, missing), (0, 0))))[None]


def _nearest_image(batch: Batch, vectors: Float[Array, "S N 3"]) -> Float[Array, "S N 3"]:
    """The vectors less the lattice vectors nearest to them, of those along which a system repeats."""
    off = jnp.round(fractional(vectors, reciprocal(batch.cell, batch.pbc)))
    return vectors - jnp.einsum("snk,ska->sna", off, periodic_part(batch.cell, batch.pbc), precision="highest")
