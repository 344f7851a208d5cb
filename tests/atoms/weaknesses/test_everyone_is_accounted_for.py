"""As many systems come out as went in, each once: past full sinks, caps on steps, budgets, failures and crashes."""

import numpy as np
import pytest
from toy_potentials import Springs
from weak_systems import assert_accounted_for, driver_of, streamed

from adiabat.atoms import FIRE, AtomicData, ConvergenceHook, HDF5Sink, MemorySink
from adiabat.engine import Checkpoints, HookStageEnum

SPRINGS = Springs(too_close=0.05)
N = 14


def data_set():
    """Clusters on springs. Number 5 cannot begin, 9 fails on the way."""
    rng = np.random.default_rng(6)
    data = [AtomicData(rng.normal(size=(n, 3)), rng.choice([1, 4], size=n)) for n in rng.integers(2, 8, N)]
    data[5] = data[5].replace(positions=data[5].positions * 0.02)
    line = np.array([[-2.0, 0, 0], [0, 0, 0.0], [2.0, 0, 0], [0.3, 0, 0]])
    data[9] = AtomicData(line, [1, 64, 1, 1])
    return data


def relax(**settings):
    return FIRE(SPRINGS, convergence_hook=ConvergenceHook.from_fmax(1e-3), **settings)


def assert_all_there(fused, sinks):
    ids = [i for sink in sinks for i in sink.system_ids]
    assert sorted(ids) == list(range(N))
    assert_accounted_for(fused.ledger, ids, None, N)
    assert [fused.ledger.stage(i) for i in range(N)] == ["fire"] * N
    assert (fused.ledger.counts["queued"], fused.ledger.counts["failed"]) == (0, 2)


@pytest.mark.parametrize("slots", [1, 5])
def test_full_sinks_stop_the_run_and_lose_nobody(slots):
    sinks = [MemorySink(capacity=2), MemorySink(capacity=3)]
    fused, _ = streamed([(0, relax())], data_set(), slots, sinks)
    assert [len(sink) for sink in sinks] == [2, 3]
    assert_accounted_for(fused.ledger, [*sinks[0].system_ids, *sinks[1].system_ids], fused.active_batch, N)
    sinks[0].capacity = 3
    assert fused.run() is not None
    assert [len(sink) for sink in sinks] == [3, 3]
    assert_accounted_for(fused.ledger, [*sinks[0].system_ids, *sinks[1].system_ids], fused.active_batch, N)
    sinks[1].capacity = None
    assert fused.run() is None
    assert_all_there(fused, sinks)


def test_a_cap_on_steps_leaves_the_rest_where_it_is():
    fused, sink = streamed([(0, relax())], data_set(), 3, n_steps=23)
    runs = 1
    while not fused.done:
        assert_accounted_for(fused.ledger, sink.system_ids, fused.active_batch, N)
        assert fused.ledger.counts["queued"] + fused.ledger.counts["active"] > 0
        fused.run()
        runs += 1
    assert runs > 3
    assert_all_there(fused, [sink])


def test_a_budget_that_ends_is_no_convergence():
    fused, sink = streamed([(0, relax(n_steps=80))], data_set(), 4)
    assert_all_there(fused, [sink])
    outcomes = {i: sink.find(i).info["outcome"] for i in range(N)}
    assert set(outcomes.values()) == {"done", "unfinished", "failed"}
    for i, outcome in outcomes.items():
        largest = np.linalg.norm(sink.find(i).forces, axis=1).max()
        assert (outcome == "done") == (largest <= 1e-3)
        assert (outcome == "unfinished") == (sink.find(i).info["reason"] == "not converged within 80 steps")


class Crash:
    """A hook that fails at a step, once. It looks between the phases, so that these are programs of their own."""

    stage, frequency = HookStageEnum.AFTER_COMPUTE, 1

    def __init__(self, at):
        self.at = at

    def __call__(self, batch, dynamics):
        if dynamics.step_count == self.at:
            self.at = -1
            raise ZeroDivisionError("a hook that divides")


def test_a_crash_in_a_hook_costs_the_steps_since_the_checkpoint(tmp_path):
    _, expected = streamed([(0, relax())], data_set(), 4, hooks=[Crash(-1)])
    for at in (0, 18, 61, 10**9):
        sink = HDF5Sink(tmp_path / "found.h5")
        driver = driver_of(
            relax().fused, SPRINGS, data_set(), 4, 8, [sink], callbacks=[Crash(at)],
            checkpoints=Checkpoints(tmp_path / "checkpoints", step_interval=10, time_interval=0.0),
        )  # fmt: skip
        driver.restore()
        if at < 10**9:
            with pytest.raises(ZeroDivisionError):
                driver.run()
            assert sum(driver.in_flight.ledger.counts.values()) == N
        else:
            driver.run()
            sink.close()
    found = HDF5Sink(tmp_path / "found.h5")
    assert sorted(found.system_ids) == list(range(N))
    assert_accounted_for(driver.in_flight.ledger, found.system_ids, None, N)
    for i in range(N):
        np.testing.assert_array_equal(found.find(i).positions, expected.find(i).positions)
