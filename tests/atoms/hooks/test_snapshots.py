"""Structures that converge, and structures that fail."""

import numpy as np
import pytest
from hook_toys import CONVERGED, SPRINGS, batch_of_clusters, clusters, driver_of, relax_and_heat, streaming
from toy_potentials import Springs

from adiabat.atoms import FIRE, ConvergedSnapshot, FusedStage, HDF5Sink, MemorySink, NaNQuarantine
from adiabat.atoms.atomic_data import AtomicData
from adiabat.engine import Checkpoints
from adiabat.errors import InputError

LINE = AtomicData(np.array([[-2.0, 0, 0], [0, 0, 0.0], [2.0, 0, 0], [0.3, 0, 0]]), [1, 64, 1, 1])
BRITTLE = Springs(too_close=0.05)


def test_each_structure_is_kept_once_as_it_was_when_it_converged():
    """And not as the heat that followed made it: energy, forces and velocities are those of the minimum."""
    sink, data = MemorySink(), clusters(7)
    fused = relax_and_heat(relax_hooks=[ConvergedSnapshot(sink)])
    driver, _ = streaming(fused, data, 3)
    driver.run()
    alone = FIRE(SPRINGS, convergence_hook=CONVERGED)
    relaxed, ends = streaming(FusedStage([(0, alone)]), data, 3)
    relaxed.run()
    assert sorted(sink.system_ids) == list(range(7))
    for i in range(7):
        found, expected = sink.find(i), ends.find(i)
        np.testing.assert_allclose(found.positions, expected.positions, rtol=0, atol=1e-12)
        assert found.info == {"stage": "fire", "steps": expected.info["steps"]}
        assert found.status == 0
        assert not found.velocities.any()


def test_a_structure_that_has_converged_before_its_first_step_is_kept_too():
    sink, relaxed = MemorySink(), FIRE(SPRINGS, convergence_hook=CONVERGED).run(batch_of_clusters(2), 300)
    data = [d.replace(system_id=None, status=None) for d in relaxed.to_data_list()]
    fused = FusedStage([(0, FIRE(SPRINGS, convergence_hook=CONVERGED, hooks=[ConvergedSnapshot(sink)]))])
    driver, _ = streaming(fused, data, 2)
    driver.run()
    assert driver.step_count == 0
    assert [sink.find(i).info["steps"] for i in range(2)] == [0, 0]


def test_systems_that_rest_are_not_kept_again_and_nothing_is_lost_by_a_resumed_run(tmp_path):
    def run(n_steps, sink):
        fire = FIRE(SPRINGS, convergence_hook=CONVERGED, hooks=[ConvergedSnapshot(sink)])
        checkpoints = Checkpoints(tmp_path / "checkpoints", step_interval=5, time_interval=0.0)
        driver = driver_of(FusedStage([(0, fire)]), batch_of_clusters(), checkpoints=checkpoints)
        driver.restore()
        driver.run(n_steps)
        return driver

    sizes = []
    for n_steps in (20, 25, None):
        driver = run(n_steps, HDF5Sink(tmp_path / "converged.h5"))
        sizes.append(len(HDF5Sink(tmp_path / "converged.h5")))
    assert sizes[-1] == 4
    assert 0 < sizes[1] < 4
    ages = np.asarray(driver.state.clock.age)
    assert [data.info["steps"] for data in HDF5Sink(tmp_path / "converged.h5")] == sorted(ages.tolist())


def test_a_full_sink_stops_the_run():
    sink = MemorySink(capacity=1)
    fire = FIRE(SPRINGS, convergence_hook=CONVERGED, hooks=[ConvergedSnapshot(sink)])
    after = fire.run(batch_of_clusters(), 500)
    assert len(sink) == 1
    assert (np.asarray(after.status) == 1).sum() in (2, 3)


@pytest.mark.parametrize("slots", [2, 6])
def test_those_that_fail_are_collected_with_their_reason_and_last_good_structure(slots):
    data = clusters(6)
    data[2], data[4] = LINE, data[4].replace(positions=data[4].positions * 0.005)
    sink = MemorySink()
    quarantine = NaNQuarantine(sink)
    fused = FusedStage([(0, FIRE(BRITTLE, convergence_hook=CONVERGED))])
    driver, ends = streaming(fused, data, slots, callbacks=[quarantine])
    driver.run()
    assert sorted(quarantine.failed) == sorted(sink.system_ids) == [2, 4]
    line, dense = quarantine.failed[2], quarantine.failed[4]
    assert (line.stage, line.reason) == ("fire", driver.in_flight.ledger.reason(2))
    assert "energy = nan at step" in line.reason
    assert line.steps == ends.find(2).info["steps"] > 0
    np.testing.assert_array_equal(line.data.positions, ends.find(2).positions)
    assert np.isfinite(line.data.energy)
    assert np.isfinite(line.data.forces).all()
    assert dense.steps == 0
    np.testing.assert_array_equal(dense.data.positions, data[4].positions)
    expected = {"outcome": "failed", "reason": line.reason, "stage": "fire", "steps": line.steps}
    assert sink.find(2).info == expected
    assert f"system 2: fire, after {line.steps} steps: energy = nan" in str(quarantine)


def test_a_quarantine_is_a_hook_of_a_dynamics_and_begins_anew_with_other_systems():
    quarantine = NaNQuarantine()
    fire = FIRE(BRITTLE, convergence_hook=CONVERGED, hooks=[quarantine])
    batch = batch_of_clusters(3)
    bad = batch.replace(positions=batch.positions * np.array([1.0, 0.005, 1.0])[:, None, None])
    after = fire.run(bad, 5)
    assert list(quarantine.failed) == [1]
    fire.run(after, 5)
    assert list(quarantine.failed) == [1]
    assert after.status.tolist() == [0, -1, 0]
    fire.run(batch, 5)
    assert str(quarantine) == "no system failed"


def test_a_quarantine_without_room_stops_the_run():
    data = [d.replace(positions=d.positions * 0.005) for d in clusters(6)]
    fused = FusedStage([(0, FIRE(BRITTLE, convergence_hook=CONVERGED))])
    driver, _ = streaming(fused, [*data, clusters(1)[0]], 2, callbacks=[NaNQuarantine(MemorySink(capacity=1))])
    driver.run()
    assert not driver.done


def test_a_sink_says_what_it_cannot_take():
    with pytest.raises(InputError, match="the capacity of a sink is -1"):
        MemorySink(capacity=-1)
