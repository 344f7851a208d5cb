"""A system's trajectory is its own: whoever shares its batch, in whichever slot, however late it came, however often
the run was cut off. In the same slots it is so to the bit."""

import numpy as np
import pytest
from weak_systems import ARGON, Notes, cluster, driver_of, streamed

from adiabat.atoms import FIRE, NVE, ConvergenceHook, MemorySink, NVTLangevin, NVTNoseHoover
from adiabat.atoms.batching import batch_from
from adiabat.units import ENERGY_PER_MASS

SIZES = (5, 7, 4, 8, 6, 5, 7, 8, 4, 6, 8, 5)
KEPT = (0, 3, 4, 6, 7, 9, 11)  # who stays the same while others are exchanged
SLOTS = 4


def data_set(others=0):
    """Clusters; every third has an atom that does not move. `others`: another seed and size for those not kept."""
    found = []
    for i, n in enumerate(SIZES):
        seed, size = (i, n) if i in KEPT or not others else (others + i, SIZES[(i + 5) % len(SIZES)])
        found.append(cluster(size, seed, fixed=[i % 3 == 0] + [False] * (size - 1)))
    return found


def chain():
    """A relaxation, and two thermostats after it: one with a state of its own, one with noise."""
    relax = FIRE(ARGON, convergence_hook=ConvergenceHook.from_fmax(1e-3), n_steps=300)
    chained = NVTNoseHoover(ARGON, temperature=40.0, initial_temperature=60.0, relaxation_time=50.0, dt=2.0, n_steps=25)
    return relax + chained + NVTLangevin(ARGON, temperature=30.0, friction=0.05, dt=2.0, n_steps=15)


def assert_same_path(notes, sink, expected_notes, expected_sink, system):
    """Energies, temperatures and thermostats of all steps, and how it ended: equal to the bit."""
    expected = expected_notes.of(system)
    assert len(expected) > 40
    assert notes.of(system) == expected
    for name in ("positions", "velocities", "forces"):
        np.testing.assert_array_equal(getattr(sink.find(system), name), getattr(expected_sink.find(system), name))


@pytest.fixture(scope="module")
def reference():
    notes = Notes()
    fused, sink = streamed(chain().sub_stages, data_set(), SLOTS, hooks=[notes])
    assert fused.ledger.counts["done"] == len(SIZES)
    return notes, sink


def test_other_neighbors_another_order_and_a_run_cut_in_three(reference, tmp_path):
    notes, sink = Notes(), MemorySink()
    for steps in (37, 101, None):
        driver = driver_of(
            chain().fused, ARGON, data_set(others=50), SLOTS, 8, [sink], callbacks=[notes], checkpoints=tmp_path
        )
        driver.restore()
        driver.run(steps)
    assert driver.done
    for i in KEPT:
        assert_same_path(notes, sink, *reference, i)


@pytest.mark.parametrize("slot", [0, 3])
def test_alone_in_its_bucket(reference, slot):
    """So a chain of thermostats that begins in a slot that others have left is as a fresh one: system 11 came last."""
    system, notes, sink = 11, Notes(), MemorySink()
    alone = batch_from([data_set()[system].replace(system_id=system)], 8, SLOTS)
    place = [1, 2, 3]
    place.insert(slot, 0)
    fused = chain()
    fused.hooks.append(notes)
    sink.write(fused.run(alone.index_select(place)))
    assert_same_path(notes, sink, *reference, system)


def test_in_a_full_batch_without_refills(reference):
    chosen = [3, 11, 0, 7]
    notes, sink = Notes(), MemorySink()
    fused = chain()
    fused.hooks.append(notes)
    data = data_set()
    sink.write(fused.run(batch_from([data[i].replace(system_id=i) for i in chosen], 8, SLOTS)))
    for i in chosen:
        assert_same_path(notes, sink, *reference, i)


@pytest.mark.parametrize("slots", [1, 12])
def test_other_numbers_of_slots_change_rounding_at_most(reference, slots):
    _, sink = streamed(chain().sub_stages, data_set(), slots)
    for i in range(len(SIZES)):
        np.testing.assert_allclose(sink.find(i).positions, reference[1].find(i).positions, rtol=0, atol=1e-12)


def test_fixed_atoms_keep_every_bit_and_do_not_count_in_temperatures(reference):
    notes, sink = reference
    for i, data in enumerate(data_set()):
        found = sink.find(i)
        if data.fixed[0]:
            assert found.positions[0].tobytes() == data.positions[0].tobytes()
            assert not found.velocities[0].any()
        last = notes.of(i)["nvt-langevin", 14]
        twice_kinetic = float(np.sum(found.masses[:, None] * found.velocities**2)) / ENERGY_PER_MASS
        freedom = 3 * np.count_nonzero(~data.fixed)
        assert last["temperature"] == pytest.approx(twice_kinetic / (freedom * 8.617333262e-5), rel=1e-9)


def forces_by_hand(positions, epsilon=0.0104, sigma=3.4):
    difference = positions[:, None] - positions[None]
    r2 = np.sum(difference**2, axis=-1) + np.eye(len(positions))
    s6 = (sigma**2 / r2) ** 3
    slope = np.where(r2 < 100.0, 24 * epsilon * (2 * s6**2 - s6) / r2, 0.0) * (1 - np.eye(len(positions)))
    return np.sum(slope[..., None] * difference, axis=1)


def test_the_first_step_of_everyone_is_that_of_velocity_verlet():
    """Also of those that come later, into slots where forces of others were."""
    rng, dt = np.random.default_rng(3), 4.0
    data = [cluster(n, i) for i, n in enumerate(SIZES[:6])]
    data = [each.replace(velocities=0.001 * rng.normal(size=(each.n_atoms, 3))) for each in data]
    _, sink = streamed([(0, NVE(ARGON, dt=dt, n_steps=1))], data, 2)
    for i, start in enumerate(data):
        found, per_mass = sink.find(i), ENERGY_PER_MASS / start.masses[:, None]
        half = start.velocities + 0.5 * dt * per_mass * forces_by_hand(start.positions)
        positions = start.positions + dt * half
        np.testing.assert_allclose(found.positions, positions, rtol=0, atol=1e-13)
        expected = half + 0.5 * dt * per_mass * forces_by_hand(positions)
        np.testing.assert_allclose(found.velocities, expected, rtol=1e-11, atol=1e-16)
