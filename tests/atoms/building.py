"""Batches from lists of arrays, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from adiabat.atoms.batch import Batch

ARGON = 18


def batch_of(
    positions: Sequence[np.ndarray | None],
    cells: Sequence[np.ndarray | None] | None = None,
    pbc: Sequence[bool | Sequence[bool]] | None = None,
    *,
    numbers: Sequence[np.ndarray | int] | None = None,
    n_slot_atoms: int | None = None,
) -> Batch:
    """A batch of JAX arrays with one system a slot: positions (n, 3) each, None for an empty slot.

    A system without a cell is an isolated one; with a cell, it repeats along all lattice vectors unless `pbc` says
    otherwise. Argon at rest if nothing else is said, of mass 1.
    """
    n_systems = len(positions)
    n_atoms = n_slot_atoms or max(len(p) for p in positions if p is not None)
    cells = [None] * n_systems if cells is None else cells
    pbc = [cell is not None for cell in cells] if pbc is None else pbc
    kinds = [ARGON] * n_systems if numbers is None else numbers
    rows = {
        "positions": np.zeros((n_systems, n_atoms, 3)),
        "numbers": np.zeros((n_systems, n_atoms), np.int32),
        "cell": np.zeros((n_systems, 3, 3)),
        "pbc": np.zeros((n_systems, 3), bool),
    }
    for slot, system in enumerate(positions):
        if system is None:
            continue
        rows["positions"][slot, : len(system)] = system
        rows["numbers"][slot, : len(system)] = kinds[slot]
        rows["cell"][slot] = 0.0 if cells[slot] is None else cells[slot]
        rows["pbc"][slot] = pbc[slot]
    zeros = jnp.zeros((n_systems, n_atoms, 3))
    return Batch(
        **{name: jnp.asarray(value) for name, value in rows.items()},
        masses=jnp.ones((n_systems, n_atoms)),
        velocities=zeros,
        energy=jnp.zeros(n_systems),
        forces=zeros,
        stress=jnp.zeros((n_systems, 3, 3)),
        fixed=jnp.zeros((n_systems, n_atoms), bool),
        fixed_center=jnp.zeros(n_systems, bool),
    )
