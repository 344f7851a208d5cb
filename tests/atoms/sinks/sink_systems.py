"""Finished systems to put into sinks."""

import numpy as np

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batching import batch_from


def finished(system_id, **given):
    rng = np.random.default_rng(system_id)
    n = 1 + system_id % 4
    return AtomicData(
        rng.normal(size=(n, 3)),
        rng.integers(1, 90, n),
        velocities=rng.normal(size=(n, 3)),
        energy=rng.normal(),
        forces=rng.normal(size=(n, 3)),
        system_id=system_id,
        status=1,
        **given,
    )


def batch_of(*ids, **given):
    return batch_from([finished(i, **given) for i in ids], n_slot_atoms=4, n_slots=len(ids) + 1)


def same(one, other, rtol=0.0):
    exact = ("positions", "numbers", "forces", "energy", "system_id", "status")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in exact) and np.allclose(
        one.velocities, other.velocities, rtol=rtol, atol=0
    )
