"""What every potential is: a pure function from a batch to its energies, forces and stresses."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from adiabat.atoms.batch import Batch

if TYPE_CHECKING:
    from adiabat.atoms.potentials.sum_of_potentials import SumOfPotentials


class Potential(abc.ABC):
    """The energy of a system as a function of its atoms and its cell; a description that never changes.

    On the host `check` refuses systems that the potential does not know, and `prepare` puts into ``batch.neighbors``
    what the potential wants to carry from step to step. After that `evaluate` runs inside compiled programs. What it
    needs room for may outgrow the room there is: `outgrown` then says of which systems the results are wrong, `grow`
    makes more room on the host, and the steps since are to be done again.

    A system's results never depend on the other systems of its batch. Atoms that are not there feel no force, and a
    system without atoms has energy and stress zero.
    """

    @property
    def name(self) -> str:
        """What messages call this potential."""
        return type(self).__name__

    @property
    def gives(self) -> frozenset[str]:
        """Which of energy, forces and stress are computed. The others are zero."""
        return frozenset({"energy", "forces", "stress"})

    @property
    def reads(self) -> frozenset[str]:
        """Names of the user's own fields of a batch that are looked at."""
        return frozenset()

    @property
    def cutoff(self) -> float | None:
        """Distance in angstrom beyond which atoms do not see each other; None if no pairs are asked for."""
        return None

    @abc.abstractmethod
    def evaluate(self, batch: Batch) -> Batch:
        """The batch with energy (S,), forces (S, N, 3) and stress (S, 3, 3) of its positions; can be traced."""

    def check(self, batch: Batch) -> None:
        """See on the host whether the potential can be used for every system of the batch.

        Raises
        ------
        InputError
            If not, saying for which system and why.
        """
        del batch

    def prepare(self, batch: Batch) -> Batch:
        """The batch with what `evaluate` needs in ``batch.neighbors``; on the host, once for each size of slots."""
        return batch

    def outgrown(self, batch: Batch) -> Bool[Array, " S"]:
        """Of which systems the last `evaluate` lacked room, so that its results are wrong; can be traced."""
        return jnp.zeros((batch.n_systems,), bool)

    def grow(self, batch: Batch, outgrown: Batch | None = None) -> Batch:
        """The batch with room for what its systems lacked room for in `outgrown`, a later state of them; on the host.

        Without `outgrown` it is the batch itself that lacks room.
        """
        del outgrown
        return batch

    def room(self, batch: Batch) -> Any:
        """How much room there is for what can grow, as JSON can hold it; None if nothing grows. On the host."""
        del batch
        return None

    def with_room(self, batch: Batch, room: Any) -> Batch:
        """The batch with the `room` that another one of the same slots has; on the host."""
        del room
        return batch

    def __add__(self, other: Potential) -> SumOfPotentials:
        """Both at once: energies, forces and stresses add up."""
        from adiabat.atoms.potentials.sum_of_potentials import SumOfPotentials

        if not isinstance(other, Potential):
            return NotImplemented
        return SumOfPotentials(terms=(self, other))


def stress_from(virial: Float[Array, "S 3 3"], batch: Batch) -> Float[Array, "S 3 3"]:
    """Derivatives of the energy by a strain, divided by the volume; zero for systems without a volume."""
    volume = batch.volume[:, None, None]
    return jnp.where(volume > 0, virial / jnp.where(volume > 0, volume, 1.0), 0.0)
