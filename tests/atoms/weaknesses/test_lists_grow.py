"""A gas of dimers that condenses has more neighbors than there was room for at first: none of them is left out."""

import jax.numpy as jnp
import numpy as np
import pytest
from weak_systems import Notes, streamed

from adiabat.atoms import FIRE, AtomicData, Batch, FromFunction, LennardJones

CENTER = np.array([9.0, 9.0, 9.0])


def well(positions, mask):
    """Draws all atoms to one place."""
    return 0.5 * 0.02 * jnp.sum(jnp.where(mask[:, None], positions - CENTER, 0.0) ** 2)


def gas(seed):
    rng = np.random.default_rng(seed)
    centers = np.array([[x, y, z] for x in range(3) for y in range(3) for z in range(3)]) * 9.0
    positions = np.concatenate([centers, centers + np.array([3.7, 0, 0])]) + rng.normal(0, 0.1, (54, 3))
    return AtomicData(positions, [18] * 54)


def condensed(search):
    """Two gases, one after the other through one slot."""
    notes = Notes()
    potential = LennardJones(cutoff=8.5, search=search) + FromFunction(well)
    relax = FIRE(potential, n_steps=120, max_step=5.0)
    _, sink = streamed([(0, relax)], [gas(0), gas(1)], 1, hooks=[notes])
    return sink, notes


def test_a_gas_that_condenses_has_the_energy_of_all_its_pairs():
    sink, notes = condensed("list")
    direct, _ = condensed("all-pairs")
    assert notes.events["grown"]
    by_pairs = FIRE(LennardJones(cutoff=8.5, search="all-pairs") + FromFunction(well))
    for i in range(2):
        found = sink.find(i)
        assert np.abs(found.positions - gas(i).positions).max() > 5.0
        distances = np.linalg.norm(found.positions[:, None] - found.positions[None], axis=-1)
        assert np.count_nonzero(distances < 8.5, axis=1).max() - 1 > 32
        explicit = by_pairs.compute(Batch.from_data_list([found.replace(system_id=None)]))
        assert found.energy == pytest.approx(float(explicit["energy"][0]), abs=1e-9)
        assert found.energy == pytest.approx(direct.find(i).energy, abs=1e-6)
