"""The Coulomb Hamiltonian of a molecule, in Hartree atomic units."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.electrons.molecule import Molecule


@dataclass(frozen=True)
class CoulombPotential:
    """``-sum Z_I / r_iI + sum_{i<j} 1 / r_ij + sum_{I<J} Z_I Z_J / R_IJ`` in hartree."""

    molecule: Molecule

    def __call__(self, x: Float[Array, "electrons 3"]) -> Float[Array, ""]:
        """Potential energy of one walker, positions in bohr."""
        nuclei = jnp.asarray(self.molecule.positions, x.dtype)
        charges = jnp.asarray(self.molecule.numbers, x.dtype)
        to_nuclei = jnp.sqrt(jnp.sum((x[:, None, :] - nuclei) ** 2, axis=-1))
        i, j = np.triu_indices(len(x), 1)
        between = jnp.sqrt(jnp.sum((x[i] - x[j]) ** 2, axis=-1))
        repulsion = jnp.asarray(self.molecule.nuclear_repulsion, x.dtype)
        return repulsion + jnp.sum(1 / between) - jnp.sum(charges / to_nuclei)


@dataclass(frozen=True)
class NuclearScale:
    """Length scale of each electron's surroundings, by which sampling moves are scaled.

    The harmonic sum of the distances to the nuclei, softened by the size of the core, so that moves get shorter near a
    nucleus and shortest near a heavy one.
    """

    molecule: Molecule

    def __call__(self, x: Float[Array, "*walkers electrons 3"]) -> Float[Array, "*walkers electrons"]:
        """Length in bohr for each electron."""
        nuclei = jnp.asarray(self.molecule.positions, x.dtype)
        core = jnp.asarray(0.3 / self.molecule.numbers, x.dtype)
        squared = jnp.sum((x[..., None, :] - nuclei) ** 2, axis=-1)
        return 1 / jnp.sum(1 / jnp.sqrt(squared + core * core), axis=-1)
