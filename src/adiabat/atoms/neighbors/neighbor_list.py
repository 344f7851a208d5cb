"""Neighbor lists: pairs of atoms that are near enough to stay in sight for a while."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from adiabat.atoms.batch import Batch
from adiabat.atoms.neighbors.all_pairs import OUT_OF_REACH
from adiabat.atoms.neighbors.found import NO_SHIFT, Found, decoded
from adiabat.atoms.neighbors.lattice import inverse, is_finite, longest_stretch, periodic_part, reciprocal
from adiabat.atoms.neighbors.pairs import Pairs, at_neighbors
from adiabat.atoms.neighbors.search_cells import search_cells
from adiabat.atoms.neighbors.search_pairs import search_pairs
from adiabat.atoms.neighbors.sizes import Sizes, room_for, sizes_for, too_thin
from adiabat.errors import InputError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NeighborList:
    """The neighbors of all atoms nearer than ``cutoff + skin`` when the list was built, system by system.

    The list of a system is complete for the cutoff until atoms have come nearer by the skin. Let the cell have changed
    from C0 to C = C0 F, and each atom from x0 to x0 F + u, with |u| <= u_max. A pair at distance r was then at most
    ``s (r + 2 u_max)`` apart, s being the largest factor by which F^-1 stretches a vector, so nothing is missed while

    ``s (cutoff + 2 u_max) <= cutoff + skin``

    which for a cell at rest is the known rule of half the skin. Otherwise `update` builds the list of that system anew.
    Whether and when depends on that system alone, and so does the order of its neighbors: the list, and what is summed
    over it by `Pairs.totals`, are the same to the bit whatever else is in the batch and however much room there is.

    If there is too little room, the system is `outgrown`; its list and what was computed with it are wrong, and it
    stays as it is until someone makes room with `grown`. A row of zeros is that of a system without a list.
    """

    atoms: Any  # int32 (S, N, K): which atoms are neighbors of each; after the last one N, an atom out of reach
    shifts: Any  # int16 (S, N, K): by how many lattice vectors they are displaced; None where nothing repeats
    wraps: Any  # int32 (S, N, 3): lattice vectors that bring atoms back into the cell; None where nothing repeats
    counts: Any  # int32 (S, N): neighbors of each atom, those for which there is no room as well
    positions: Any  # float64 (S, N, 3), when the list was built
    cell: Any  # float64 (S, 3, 3)
    real: Any  # bool (S, N)
    built: Any  # bool (S,)
    outgrown: Any  # bool (S,)
    builds: Any  # int32 (S,): how often the list of a system was built
    cutoff: float = field(metadata={"static": True})
    skin: float = field(metadata={"static": True})
    sizes: Sizes = field(metadata={"static": True})

    # --- on the host ----------------------------------------------------------------------------------------

    @classmethod
    def allocate(cls, batch: Batch, cutoff: float, skin: float) -> NeighborList:
        """Lists with room for the systems of a batch and some more, still to be built by `update`.

        Parameters
        ----------
        cutoff : float
            Distance in angstrom within which pairs are wanted.
        skin : float
            How much farther the list sees, in angstrom: the larger, the more pairs to look at and the rarer the builds.

        Raises
        ------
        InputError
            For cutoffs and skins that are no such lengths, and cells that are flat or too thin.
        """
        if not (0 < cutoff < np.inf and 0 <= skin < np.inf):
            raise InputError(f"got the cutoff {cutoff} and the skin {skin}; expected finite lengths, the first above 0")
        sizes = sizes_for(batch, cutoff + skin)
        return cls.empty(batch.n_systems, batch.n_slot_atoms, float(cutoff), float(skin), sizes)

    @classmethod
    def empty(cls, n_systems: int, n_atoms: int, cutoff: float, skin: float, sizes: Sizes) -> NeighborList:
        """Lists of no system, of NumPy arrays."""
        shape = (n_systems, n_atoms, sizes.neighbors)
        return cls(
            atoms=np.full(shape, n_atoms, np.int32),
            shifts=np.full(shape, NO_SHIFT, np.int16) if sizes.periodic else None,
            wraps=np.zeros((n_systems, n_atoms, 3), np.int32) if sizes.periodic else None,
            counts=np.zeros(shape[:2], np.int32),
            positions=np.zeros((n_systems, n_atoms, 3)),
            cell=np.zeros((n_systems, 3, 3)),
            real=np.zeros(shape[:2], bool),
            built=np.zeros(n_systems, bool),
            outgrown=np.zeros(n_systems, bool),
            builds=np.zeros(n_systems, np.int32),
            cutoff=cutoff,
            skin=skin,
            sizes=sizes,
        )

    def grown(self, batch: Batch) -> NeighborList:
        """With room for what the systems that are outgrown needed when they were; they are to be built anew.

        No room is made for cells that have become flat or too thin (see `allocate`): they are outgrown again.
        """
        then, radius = self._when_outgrown(batch), self.cutoff + self.skin
        sizes = self.sizes.joined(sizes_for(then, radius))
        needed = room_for(int(np.max(np.where(then.numbers > 0, self.counts, 0), initial=0)))
        return self.resized(replace(sizes, neighbors=max(sizes.neighbors, needed)))

    def _when_outgrown(self, batch: Batch) -> Batch:
        """The systems that are outgrown as they were then; none in the other slots."""
        cell, pbc = np.asarray(self.cell), np.asarray(batch.pbc)
        possible = np.asarray(self.outgrown) & np.isfinite(cell).all(axis=(1, 2))
        with np.errstate(all="ignore"), jax.enable_x64(True):
            columns = np.asarray(jax.jit(reciprocal)(cell, pbc))
            possible = possible & np.isfinite(columns).all(axis=(1, 2)) & ~too_thin(columns, self.cutoff + self.skin)
        numbers = (np.asarray(self.real) & possible[:, None]).astype(np.int32)
        positions, pbc = np.asarray(self.positions), pbc & possible[:, None]
        return batch.replace(positions=positions, cell=cell, numbers=numbers, pbc=pbc)

    def resized(self, sizes: Sizes) -> NeighborList:
        """The same lists with more room. Those that were too long are to be built anew, the others go on as they are.

        Given the sizes of a list that has `grown`, an earlier list of the same systems can take its place, as if it had
        had that room from the start.
        """
        n_systems, n_atoms, _ = self.atoms.shape
        longer = self.empty(n_systems, n_atoms, self.cutoff, self.skin, sizes)
        outgrown = np.asarray(self.outgrown)
        longer.atoms[:, :, : self.capacity] = self.atoms
        if longer.shifts is not None and self.shifts is not None:
            longer.shifts[:, :, : self.capacity] = self.shifts
        return replace(
            self,
            atoms=longer.atoms,
            shifts=longer.shifts,
            wraps=longer.wraps if self.wraps is None else self.wraps,
            built=np.asarray(self.built) & ~outgrown,
            outgrown=np.zeros_like(outgrown),
            sizes=sizes,
        )

    @property
    def room(self) -> Any:
        """The sizes as JSON can hold them."""
        return self.sizes.as_json()

    def with_room(self, room: Any) -> NeighborList:
        """With sizes that another list told as its `room`."""
        return self.resized(Sizes.from_json(room))

    # --- traced ---------------------------------------------------------------------------------------------

    @property
    def capacity(self) -> int:
        """Neighbors K that an atom has room for."""
        return self.sizes.neighbors

    @property
    def needed(self) -> Int32[Array, " S"]:
        """The largest number of neighbors of an atom in each system, whether there was room for it or not."""
        return jnp.max(self.counts, axis=1)

    def forget(self, systems: Bool[Array, " S"]) -> NeighborList:
        """Without the lists of these systems: newcomers are to come into their slots."""
        return replace(self, built=self.built & ~systems, outgrown=self.outgrown & ~systems)

    def stale(self, batch: Batch) -> Bool[Array, " S"]:
        """Which systems have to be searched anew before their pairs can be relied on."""
        reference = reciprocal(self.cell, batch.pbc)
        change = periodic_part(batch.cell, batch.pbc) - periodic_part(self.cell, batch.pbc)
        deformation = jnp.eye(3) + jnp.einsum("sak,skb->sab", reference, change, precision="highest")
        carried = jnp.einsum("sna,sab->snb", self.positions, deformation, precision="highest")
        moved = jnp.where(batch.real, jnp.sum((batch.positions - carried) ** 2, axis=2), 0.0)
        apart = self.cutoff + 2 * jnp.sqrt(jnp.max(moved, axis=1))
        kept = longest_stretch(inverse(deformation)) * apart <= self.cutoff + self.skin
        return ~(kept & self.built & jnp.all(self.real == batch.real, axis=1))

    def update(self, batch: Batch) -> NeighborList:
        """The lists for the positions and cells of a batch: anew of systems that are `stale`, others as they are.

        All systems are searched as soon as one has to be.
        """
        stale = self.stale(batch) & ~self.outgrown
        due = jnp.any(stale)
        return jax.lax.cond(due, lambda: self._chosen(stale, self._built(batch, due)), lambda: self)

    def pairs(self, batch: Batch) -> Pairs:
        """Neighbors nearer than the cutoff, with their present distances."""
        # One more atom in each system costs nothing. Asking of every place whether a neighbor is in it, and making its
        # distance harmless if not, takes as long as all the rest.
        cell = periodic_part(batch.cell, batch.pbc)
        positions = _wrapped(_with_one_out_of_reach(batch.positions), self.wraps, cell)
        steps = [] if self.shifts is None else decoded(self.shifts)
        vectors = []
        for a, x in enumerate(jnp.unstack(positions, axis=2)):
            displaced = sum(n * cell[:, k, a, None, None] for k, n in enumerate(steps))
            vectors.append(at_neighbors(x, self.atoms) - x[:, :-1, None] + displaced)
        dx, dy, dz = vectors
        r2 = dx * dx + dy * dy + dz * dz
        return Pairs(dx, dy, dz, r2, r2 < self.cutoff**2, self.atoms)

    def _built(self, batch: Batch, due: Bool[Array, ""]) -> NeighborList:
        found = self._search(batch, due)
        too_many = jnp.max(found.counts, axis=1) > self.capacity
        return replace(
            self,
            atoms=found.neighbors,
            shifts=found.shifts,
            wraps=found.wraps,
            counts=found.counts,
            positions=batch.positions,
            cell=batch.cell,
            real=batch.real,
            built=jnp.ones_like(self.built),
            outgrown=(too_many | ~found.complete) & is_finite(batch.cell),
            builds=self.builds + 1,
        )

    def _search(self, batch: Batch, due: Bool[Array, ""]) -> Found:
        radius = self.cutoff + self.skin
        if self.sizes.grid is None:
            return search_pairs(batch, radius, self.sizes.images, self.capacity, due)
        return search_cells(batch, radius, self.sizes.grid, self.capacity, due)

    def _chosen(self, systems: Bool[Array, " S"], new: NeighborList) -> NeighborList:
        def choose(mine: Array, theirs: Array) -> Array:
            return jnp.where(systems.reshape(-1, *[1] * (theirs.ndim - 1)), theirs, mine)

        return jax.tree.map(choose, self, new)


def _with_one_out_of_reach(positions: Float[Array, "S N 3"]) -> Float[Array, "S M 3"]:
    return jnp.pad(positions, ((0, 0), (0, 1), (0, 0)), constant_values=OUT_OF_REACH)


def _wrapped(
    positions: Float[Array, "S M 3"], wraps: Int32[Array, "S N 3"] | None, cell: Float[Array, "S 3 3"]
) -> Float[Array, "S M 3"]:
    """Positions brought back into the cell, as one matrix product: XLA stores its result before it is looked up."""
    rows = jnp.broadcast_to(np.eye(3), cell.shape)
    if wraps is not None:
        wraps = jnp.pad(wraps, ((0, 0), (0, positions.shape[1] - wraps.shape[1]), (0, 0)))
        positions = jnp.concatenate([positions, -wraps.astype(positions.dtype)], axis=2)
        rows = jnp.concatenate([rows, cell], axis=1)
    return jnp.einsum("snk,ska->sna", positions, rows, precision="highest")
