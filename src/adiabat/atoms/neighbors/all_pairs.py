"""All pairs of atoms of a system: the fastest way for small ones, and nothing to keep up to date."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.neighbors.images import MORE_IMAGES, ImageSet, image_set, images_needed, images_suffice, union
from adiabat.atoms.neighbors.lattice import fractional, is_finite, reciprocal, repeating
from adiabat.atoms.neighbors.pairs import Pairs
from adiabat.errors import InputError

OUT_OF_REACH = 1e15  # angstrom


def all_pairs(batch: Batch, cutoff: float, images: Any) -> Pairs:
    """Pairs of all atoms with all images of all atoms, ``K = N * n_images``, image by image; traced.

    Parameters
    ----------
    batch : Batch
        Systems of any periodicity, each its own.
    cutoff : float
        Angstrom; may be infinite if nothing repeats.
    images : static int array (n_images, 3) or None
        From `images_needed`. Of each pair these images are looked at, counted from the one that is nearest in
        fractional coordinates; one image is the minimum-image convention. Systems that need others as well have pairs
        missing (`images_suffice` says which do). None: no system repeats.
    """
    images = image_set(images)
    atom = jnp.arange(batch.n_slot_atoms)
    pair = batch.real[:, :, None] & batch.real[:, None, :]
    if images is None:
        vectors = _vectors(batch)
        pair = pair & (atom[:, None] != atom)
    else:
        lattice = _lattice(batch)
        steps = jnp.einsum("mk,ska->sam", np.array(images, np.float64), lattice, precision="highest")
        nearest = zip(_nearest(batch, lattice), jnp.unstack(steps, axis=1), strict=True)
        vectors = [_joined(vector[:, :, None, :] + step[:, None, :, None]) for vector, step in nearest]
        itself = (atom[:, None, None] == atom) & (jnp.arange(len(images)) == 0)[:, None]
        pair = _joined(pair[:, :, None, :] & ~itself)
    dx, dy, dz = vectors
    r2 = dx * dx + dy * dy + dz * dz
    inside = (r2 < cutoff**2) & pair
    return Pairs(dx, dy, dz, jnp.where(inside, r2, harmless(cutoff)), inside, None)


def harmless(cutoff: float) -> float:
    """What stands for r2 where no pair is."""
    return cutoff**2 if math.isfinite(cutoff) else 1.0


def _vectors(batch: Batch) -> list[Float[Array, "S N N"]]:
    """x, y and z from each atom to each."""
    return [x[:, None, :] - x[:, :, None] for x in jnp.unstack(batch.positions, axis=2)]


def _nearest(batch: Batch, lattice: Float[Array, "S 3 3"]) -> list[Float[Array, "S N N"]]:
    """The same to the image that is nearest in fractional coordinates."""
    vectors = _vectors(batch)
    fractions = fractional(batch.positions, reciprocal(batch.cell, batch.pbc))
    for k, along in enumerate(jnp.unstack(fractions, axis=2)):
        off = jnp.round(along[:, None, :] - along[:, :, None])
        vectors = [vector - off * lattice[:, k, a, None, None] for a, vector in enumerate(vectors)]
    return vectors


def _lattice(batch: Batch) -> Float[Array, "S 3 3"]:
    """Lattice vectors; where a system does not repeat, such that images lie out of reach."""
    repeats = repeating(batch.cell, batch.pbc)[:, :, None]
    return jnp.where(repeats, batch.cell, OUT_OF_REACH * np.eye(3))


def _joined(blocks: Any) -> Any:
    """(S, N, n_images, N) as (S, N, K)."""
    return blocks.reshape(*blocks.shape[:2], -1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AllPairs:
    """All pairs as an object with the verbs of `NeighborList`: what has to be known about a batch to find them.

    A row of zeros is that of a system nothing is known about yet.
    """

    outgrown: Any
    """Bool (S,): systems that needed more images, since they were admitted."""
    cutoff: float = field(metadata={"static": True})
    sizes: ImageSet | None = field(metadata={"static": True})
    """The images that are looked at; None if no system repeats."""

    @classmethod
    def allocate(cls, batch: Batch, cutoff: float) -> AllPairs:
        """For the systems of a batch; on the host. For errors see `images_needed`."""
        images = images_needed(batch.cell, batch.pbc, cutoff)
        return cls(np.zeros(batch.n_systems, bool), float(cutoff), image_set(images))

    def update(self, batch: Batch) -> AllPairs:
        """After atoms or cells have changed; traced."""
        enough = images_suffice(batch.cell, batch.pbc, self.sizes, self.cutoff)
        return replace(self, outgrown=self.outgrown | (~enough & is_finite(batch.cell)))

    def pairs(self, batch: Batch) -> Pairs:
        """All pairs with their present distances; traced."""
        return all_pairs(batch, self.cutoff, self.sizes)

    def grown(self, batch: Batch) -> AllPairs:
        """With the images that the systems of the batch need now besides; on the host.

        No images are added for cells that have become flat or all too small: their systems are outgrown again.
        """
        images, cells, pbc = self.sizes, np.asarray(batch.cell), np.asarray(batch.pbc)
        for system in np.flatnonzero(self.outgrown):
            with contextlib.suppress(InputError):
                more = images_needed(cells[system, None], pbc[system, None], self.cutoff * MORE_IMAGES)
                images = union(images, image_set(more))
        return self.resized(images)

    @property
    def room(self) -> Any:
        """The images as JSON can hold them."""
        return self.sizes

    def with_room(self, room: Any) -> AllPairs:
        """With the images that another search told as its `room`."""
        return self.resized(None if room is None else tuple(map(tuple, room)))

    def resized(self, sizes: ImageSet | None) -> AllPairs:
        """With other images, such as those of a list that has grown."""
        return replace(self, outgrown=np.zeros_like(self.outgrown), sizes=sizes)

    def forget(self, systems: Bool[Array, " S"]) -> AllPairs:
        """As for newcomers in these slots."""
        return replace(self, outgrown=self.outgrown & ~systems)
