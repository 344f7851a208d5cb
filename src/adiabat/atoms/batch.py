"""Many structures in one set of arrays: slots of equal size, padded with atoms that are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adiabat.engine import Clock, State

if TYPE_CHECKING:
    from adiabat.atoms.atomic_data import AtomicData

Leaf = Any  # an array; its shape alone while a program is being prepared
AnyArray = Array | np.ndarray
"""Batches hold arrays of JAX inside programs, and perhaps of NumPy outside."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Batch:
    """S systems in slots of N atoms. Atoms that are not there have number 0, mass 1, and lie at the origin at rest.

    Coordinates stand last and systems first, in one array for all atoms: (S, N, 3). Lengths are in angstrom, energies
    in eV, masses in amu, times in fs.

    Parameters
    ----------
    positions, velocities, forces : array (S, N, 3)
        Angstrom, angstrom/fs, eV/angstrom.
    numbers : int array (S, N)
        Atomic numbers; 0 where there is no atom.
    masses : array (S, N)
    cell : array (S, 3, 3)
        Lattice vectors in rows; zero where a system has none.
    pbc : bool array (S, 3)
        Along which lattice vectors a system repeats.
    energy : array (S,)
    stress : array (S, 3, 3)
        eV/angstrom**3, positive under tension as in ASE; zero where the potential gives none.
    fixed : bool array (S, N)
        Atoms that do not move.
    fixed_center : bool array (S,)
        Systems whose centre of mass does not move.
    neighbors : pytree
        The neighbor list of the potential, with a leading axis S in every array; () where there is none.
    atom_fields, system_fields : mapping
        A user's own fields, (S, N, ...) and (S, ...), by name.
    clock : Clock, optional
        Who the systems are and how far each has come. Within the engine's state the clock has its own place, and the
        batch there has none.
    own : mapping, optional
        Private rows, (S, ...) each, of the integrator that a batch is handed to.
    """

    positions: Leaf
    numbers: Leaf
    masses: Leaf
    velocities: Leaf
    cell: Leaf
    pbc: Leaf
    energy: Leaf
    forces: Leaf
    stress: Leaf
    fixed: Leaf
    fixed_center: Leaf
    neighbors: Any = ()
    atom_fields: Mapping[str, Leaf] = field(default_factory=dict)
    system_fields: Mapping[str, Leaf] = field(default_factory=dict)
    clock: Clock | None = None
    own: Any = None

    def replace(self, **changes: Any) -> Batch:
        """A batch with these fields changed; a user's own fields by their names as well."""
        mine = {name: value for name, value in changes.items() if name in self.__dataclass_fields__}
        for name in changes.keys() - mine.keys():
            kind = next((kind for kind in ("atom_fields", "system_fields") if name in getattr(self, kind)), None)
            if kind is None:
                raise AttributeError(f"a batch has no field {name!r}; it has {', '.join(self.keys())}")
            mine[kind] = {**mine.get(kind, getattr(self, kind)), name: changes[name]}
        return replace(self, **mine)

    def __getattr__(self, name: str) -> Any:
        for kind in ("atom_fields", "system_fields"):
            fields = self.__dict__.get(kind, {})
            if name in fields:
                return fields[name]
        raise AttributeError(f"a batch has no field {name!r}")

    def keys(self) -> list[str]:
        """Names of all fields that hold something."""
        names = [n for n in self.__dataclass_fields__ if n not in ("atom_fields", "system_fields", "clock", "own")]
        return [*names, *self.atom_fields, *self.system_fields, *(("status", "system_id") if self.clock else ())]

    # --- from and to single systems -------------------------------------------------------------------------

    @staticmethod
    def from_data_list(
        data: Sequence[AtomicData], n_slot_atoms: int | None = None, n_slots: int | None = None, **settings: Any
    ) -> Batch:
        """One system a slot, see `batching.batch_from`."""
        from adiabat.atoms.batching import batch_from

        return batch_from(data, n_slot_atoms, n_slots, **settings)

    def to_data_list(self) -> list[AtomicData]:
        """The systems in the order of their slots, without those slots that are empty."""
        from adiabat.atoms.batching import to_data_list

        return to_data_list(self)

    def index_select(self, indices: Any) -> Batch:
        """The slots at these indices, or where a mask is true."""
        from adiabat.atoms.batching import index_select

        return index_select(self, indices)

    def append(self, other: Batch) -> Batch:
        """The slots of this batch, and after them those of another."""
        from adiabat.atoms.batching import append

        return append(self, other)

    @property
    def num_graphs(self) -> int:
        """How many systems there are."""
        from adiabat.atoms.batching import num_graphs

        return num_graphs(self)

    @property
    def num_nodes(self) -> int:
        """How many atoms there are in all systems together."""
        from adiabat.atoms.batching import num_nodes

        return num_nodes(self)

    # --- sizes ----------------------------------------------------------------------------------------------

    @property
    def n_systems(self) -> int:
        """The number of slots S."""
        return int(self.numbers.shape[0])

    @property
    def n_slot_atoms(self) -> int:
        """Atoms N that a slot has room for."""
        return int(self.numbers.shape[1])

    @property
    def real(self) -> Bool[AnyArray, "S N"]:
        """Which atoms are there."""
        return self.numbers > 0

    @property
    def n_atoms(self) -> Int[Array, " S"]:
        """Atoms of each system."""
        return jnp.sum(self.real, axis=1, dtype=jnp.int32)

    @property
    def volume(self) -> Float[Array, " S"]:
        """Of the cells in angstrom**3, positive for left-handed ones too; 0 without a cell."""
        return jnp.abs(jnp.linalg.det(self.cell))

    # --- the clock ------------------------------------------------------------------------------------------

    @property
    def status(self) -> Int[AnyArray, " S"]:
        """Code of the sub-stage that each system is in."""
        return self._clock.status

    @property
    def system_id(self) -> Int[AnyArray, " S"]:
        """Which system is in each slot: its index in the data set."""
        return self._clock.system_id

    @property
    def stage_age(self) -> Int[AnyArray, " S"]:
        """Steps of each system in its present sub-stage."""
        return self._clock.stage_age

    def random_keys(self, purpose: str) -> Key[Array, " S"]:
        """One random key a system for one purpose of the step at hand; neighbours in the batch do not enter."""
        return State((), (), self._clock).keys(purpose)

    @property
    def _clock(self) -> Clock:
        if self.clock is None:
            raise AttributeError("this batch has no clock: status, system_id and random keys belong to a batch in use")
        return self.clock
