"""Dynamics on the engine: stages that systems pass through, each at its own pace, whoever else is in the batch."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from building import batch_of
from toy_potentials import Springs

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batch import Batch
from adiabat.atoms.batching import batch_from
from adiabat.atoms.convergence import ConvergenceHook
from adiabat.atoms.dynamics import BaseDynamics
from adiabat.atoms.fused_stage import FusedStage
from adiabat.atoms.in_flight import SamplerSource, SinkOutlet
from adiabat.atoms.integrators import FIRE, NVE, NVTLangevin
from adiabat.atoms.motion import kinetic_energy
from adiabat.atoms.sinks import MemorySink
from adiabat.atoms.size_aware_sampler import SizeAwareSampler
from adiabat.engine import AbstractCallback, Driver, HookStageEnum, InFlight

SPRINGS = Springs()
CONVERGED = ConvergenceHook.from_fmax(1e-3)


def clusters(count, seed=0):
    """Clusters of 2 to 7 atoms of two elements."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        n = int(rng.integers(2, 8))
        found.append(
            AtomicData(positions=rng.normal(size=(n, 3)), numbers=rng.choice([1, 4], size=n), info={"name": f"c{i}"})
        )
    return found


def same(a, b):
    """Equal to the bit."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def stream(stage, data, slots, n_slot_atoms=8, **settings):
    """All of these through so many slots; the sink, and the driver."""
    sink = MemorySink()
    source = SamplerSource(SizeAwareSampler(data), SPRINGS.prepare, slots, n_slot_atoms)
    driver = Driver(stage, in_flight=InFlight(source, SinkOutlet([sink])), **settings)
    driver.run()
    return sink, driver


class Steps(AbstractCallback):
    """Counts the steps of every system in every sub-stage."""

    callback_order = 10

    def __init__(self):
        self.counts = {}

    def on_rows(self, rows, driver):
        for row in rows:
            key = (row["stage"], row["system"])
            self.counts[key] = self.counts.get(key, 0) + 1


def relax_heat_relax():
    langevin = NVTLangevin(SPRINGS, temperature=300.0, dt=0.1, n_steps=50)
    return (FIRE(SPRINGS, convergence_hook=CONVERGED) + langevin + FIRE(SPRINGS, convergence_hook=CONVERGED)).fused


def test_molecular_dynamics_between_two_relaxations_takes_exactly_its_steps():
    steps, data = Steps(), clusters(20)
    sink, driver = stream(relax_heat_relax(), data, 5, callbacks=[steps])
    assert [steps.counts[("nvt-langevin", i)] for i in range(20)] == [50] * 20
    assert driver.in_flight.ledger.counts["done"] == len(sink) == 20
    for i in range(20):
        total = sum(count for (_, system), count in steps.counts.items() if system == i)
        assert sink.find(i).info["steps"] == total


def test_a_trajectory_knows_neither_its_slot_nor_its_neighbors():
    """To the bit, where programs are of one shape."""
    data, others = clusters(12), clusters(12, seed=5)
    mixed = [data[i] if i % 3 else others[i] for i in range(len(data))]
    expected, _ = stream(relax_heat_relax(), data, 4)
    found, _ = stream(relax_heat_relax(), mixed, 4)
    for i in range(len(data)):
        a, b = expected.find(i), found.find(i)
        if i % 3:
            np.testing.assert_array_equal(b.positions, a.positions)
            assert b.info["steps"] == a.info["steps"]
        else:
            assert b.positions.shape != a.positions.shape or not np.array_equal(b.positions, a.positions)


@pytest.mark.parametrize("slots", [1, 3, 32])
def test_results_do_not_depend_on_the_number_of_slots(slots):
    data = clusters(12)
    expected, _ = stream(relax_heat_relax(), data, 6)
    found, _ = stream(relax_heat_relax(), data, slots)
    for i in range(len(data)):
        a, b = expected.find(i), found.find(i)
        np.testing.assert_allclose(b.positions, a.positions, rtol=0, atol=1e-12)
        assert b.info["steps"] == a.info["steps"]


def test_one_bad_structure_fails_alone_with_its_last_good_state():
    data = clusters(10)
    # Too close for the potential from the beginning; and drawn together by springs until it is.
    data[7] = data[7].replace(positions=data[7].positions * 0.02)
    line = np.array([[-2.0, 0, 0], [0, 0, 0.0], [2.0, 0, 0], [0.3, 0, 0]])
    data[4] = AtomicData(positions=line, numbers=[1, 64, 1, 1])
    bad = Springs(too_close=0.05)
    relax = FIRE(bad, convergence_hook=CONVERGED)
    sink, driver = stream(relax.stage, data, 4)
    sound, _ = stream(relax.stage, [d for i, d in enumerate(data) if i not in (4, 7)], 4)
    ledger = driver.in_flight.ledger
    assert ledger.counts == {"queued": 0, "active": 0, "done": 8, "unfinished": 0, "failed": 2}
    assert "energy = nan at step" in ledger.reason(4)
    assert ledger.reason(7) == "what it begins with is not finite"
    assert np.isfinite(sink.find(4).positions).all()
    assert 0 < sink.find(4).info["steps"] < 50
    np.testing.assert_array_equal(sink.find(7).positions, data[7].positions)
    for i in range(10):
        if i not in (4, 7):
            np.testing.assert_array_equal(sink.find(i).positions, sound.find(i - (i > 4) - (i > 7)).positions)


def test_a_killed_stream_ends_as_the_uninterrupted_one(tmp_path):
    data = clusters(12)
    expected, whole = stream(relax_heat_relax(), data, 4)
    sink = MemorySink()
    for _ in range(100):
        source = SamplerSource(SizeAwareSampler(data), SPRINGS.prepare, 4, 8)
        driver = Driver(relax_heat_relax(), in_flight=InFlight(source, SinkOutlet([sink])), checkpoints=tmp_path)
        driver.restore()
        driver.run(131)
        if driver.done:
            break
    assert driver.step_count > 3 * 131
    for i in range(len(data)):
        np.testing.assert_array_equal(sink.find(i).positions, expected.find(i).positions)
        assert sink.find(i).info == expected.find(i).info
    assert driver.in_flight.ledger.counts == whole.in_flight.ledger.counts


def test_a_fused_stage_runs_batches_and_samplers():
    fire = FIRE(SPRINGS, convergence_hook=CONVERGED)
    batch = Batch.from_data_list(clusters(6), n_slot_atoms=8)
    after = (fire + fire).run(batch)
    assert after.status.tolist() == [2] * 6
    sinks = [MemorySink(capacity=2), MemorySink()]
    fused = FusedStage([(0, fire), (1, fire)], sampler=SizeAwareSampler(clusters(6)), sinks=sinks, max_batch_size=6)
    assert fused.run() is None
    assert [len(sink) for sink in sinks] == [2, 4]
    assert fused.ledger.counts["done"] == 6
    for sink in sinks:
        for data in sink:
            expected = after.to_data_list()[data.system_id]
            np.testing.assert_array_equal(data.positions, expected.positions)
    assert fused.all_complete(after, 2)
    with pytest.raises(ValueError, match="needs a batch to run"):
        FusedStage([(0, fire)]).run()
    with pytest.raises(TypeError, match="a sub-stage is a dynamics; got str"):
        FusedStage([(0, "fire")])


# --- the handle ---------------------------------------------------------------------------------------------


def moving_batch(n_systems=3):
    rng = np.random.default_rng(1)
    batch = batch_of([rng.normal(size=(3 + i, 3)) for i in range(n_systems)], numbers=[1, 4, 2][:n_systems])
    return batch.replace(velocities=np.where(batch.real[..., None], 0.01, 0.0) * rng.normal(size=batch.positions.shape))


def test_the_first_step_uses_forces_of_the_first_positions():
    batch = moving_batch()
    dynamics = NVE(SPRINGS, dt=0.1)
    after = dynamics.run(batch, 1)
    forces = SPRINGS.evaluate(batch).forces
    acceleration = 9.648533212331002e-3 * np.asarray(forces) / np.asarray(batch.masses)[..., None]
    expected = batch.positions + 0.1 * (batch.velocities + 0.05 * acceleration)
    np.testing.assert_allclose(after.positions, expected, rtol=1e-13, atol=1e-15)


def test_runs_go_on_where_the_last_one_ended():
    batch, together, apart = (
        moving_batch(),
        NVTLangevin(SPRINGS, temperature=100.0),
        NVTLangevin(SPRINGS, temperature=100.0),
    )
    expected = together.run(batch, 20)
    found = apart.run(apart.run(batch, 13), 7)
    same(found.replace(own=None), expected.replace(own=None))
    assert together.step_count == apart.step_count == 20


def test_energy_is_conserved_and_systems_rest_when_they_have_converged():
    batch = moving_batch()
    after = NVE(SPRINGS, dt=0.05).run(batch, 200)
    before = SPRINGS.evaluate(batch).energy + kinetic_energy(batch)
    np.testing.assert_allclose(after.energy + kinetic_energy(after), before, rtol=1e-4)
    relaxed = FIRE(SPRINGS, convergence_hook={"key": "fmax", "threshold": 0.01}, exit_status=3).run(batch, 500)
    assert relaxed.status.tolist() == [3, 3, 3]
    assert len(set(np.asarray(relaxed.stage_age).tolist())) > 1


def test_a_masked_update_leaves_everyone_else_alone():
    dynamics = FIRE(SPRINGS)
    batch = dynamics.run(moving_batch(), 5)
    after = dynamics.masked_update(batch, [True, False, True])

    def row(batch, i):
        return [np.asarray(leaf)[i] for leaf in jax.tree.leaves(batch.replace(clock=batch.clock.replace(seed=())))]

    same(row(batch, 1), row(after, 1))
    for i in (0, 2):
        assert not np.array_equal(batch.positions[i], after.positions[i])
        assert not np.array_equal(batch.own["fire"]["velocity"][i], after.own["fire"]["velocity"][i])


def test_step_says_who_converged():
    dynamics = FIRE(SPRINGS, convergence_hook=ConvergenceHook.from_fmax(0.01))
    batch, seen = moving_batch(), []
    for _ in range(300):
        batch, left = dynamics.step(batch)
        seen += [] if left is None else left.tolist()
    assert sorted(seen) == [0, 1, 2]


def test_compute_gives_all_digits_to_a_script_that_did_not_ask_for_64_bits():
    batch = moving_batch()
    expected = SPRINGS.evaluate(batch)
    with jax.enable_x64(False):
        found = FIRE(SPRINGS).compute(batch)
    for name in ("energy", "forces"):
        assert found[name].dtype == np.float64
        np.testing.assert_allclose(found[name], getattr(expected, name), rtol=1e-12)


def test_hooks_see_batches_and_change_them():
    class Wind:
        stage, frequency, traced = HookStageEnum.AFTER_COMPUTE, 1, False

        def __init__(self, traced):
            self.traced = traced

        def __call__(self, batch, dynamics):
            return batch.replace(forces=batch.forces + 1.0 * batch.real[..., None])

    traced = NVE(SPRINGS, hooks=[Wind(True)]).run(moving_batch(), 4)
    host = NVE(SPRINGS, hooks=[Wind(False)]).run(moving_batch(), 4)
    np.testing.assert_allclose(traced.positions, host.positions, rtol=1e-13)
    assert np.abs(host.velocities - NVE(SPRINGS).run(moving_batch(), 4).velocities).max() > 1e-3


def test_what_cannot_work_is_said_at_once():
    with pytest.raises(TypeError, match="the model of FIRE is a Potential; got str"):
        FIRE("springs")
    with pytest.raises(ValueError, match=r"FIRE\.run needs n_steps"):
        FIRE(SPRINGS).run(moving_batch())

    class Blind(Springs):
        gives = frozenset({"energy"})

    with pytest.raises(RuntimeError, match="FIRE needs forces from its potential, and Blind gives energy"):
        FIRE(Blind())
    with pytest.raises(TypeError, match="only dynamics can be joined"):
        FIRE(SPRINGS) + 3
    with pytest.raises(KeyError, match="there is no 'fmx' to converge, did you mean 'fmax'"):
        ConvergenceHook({"key": "fmx", "threshold": 1.0}).reached(SPRINGS.evaluate(moving_batch()))


def test_a_dynamics_of_the_users_own_needs_only_what_it_changes():
    class Drift(BaseDynamics):
        """Positions follow velocities."""

        def pre_update(self, batch):
            return batch.replace(positions=batch.positions + batch.velocities)

    batch = batch_from(clusters(3))
    batch = batch.replace(velocities=np.full_like(batch.velocities, 0.5) * np.asarray(batch.real)[..., None])
    after = Drift(SPRINGS, n_steps=4).run(batch)
    np.testing.assert_allclose(after.positions, batch.positions + 4 * batch.velocities, rtol=1e-15)
    assert repr(Drift(SPRINGS, n_steps=4)) == "Drift(Springs, n_steps=4)"
