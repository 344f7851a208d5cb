"""How far a run has come, counted over buckets and processes."""

from types import SimpleNamespace

import numpy as np
import pytest

from adiabat.atoms.runs.tally import Tally
from adiabat.engine import Ledger, Outcome


def bucket(steps, ids, ages, width=8):
    clock = SimpleNamespace(system_id=np.array(ids), age=np.array(ages))
    return SimpleNamespace(
        step_count=steps,
        state=SimpleNamespace(clock=clock),
        batch=SimpleNamespace(n_slot_atoms=width),
        timings=SimpleNamespace(as_dict=lambda: {"steps": {"fire": steps}, "seconds": {"fire": 1.0}, "compiling": {}}),
    )


@pytest.mark.usefixtures("unchecked")
def test_occupancy_and_atom_steps_count_all_buckets():
    """Systems 0 and 1 went through two slots in ten steps of an earlier process; 2 is under way in one of two slots."""
    ledger, tally = Ledger(4), Tally()
    tally.begin([3, 4, 10, 12], ledger)
    ledger.admit([0, 1, 2])
    ledger.close(0, Outcome.DONE, steps=10, stage="fire")
    ledger.close(1, Outcome.DONE, steps=5, stage="fire")
    small, large = bucket(10, [-1, -1], [10, 5]), bucket(4, [2, -1], [4, 0], width=16)
    tally.passed(small)
    tally.on_run_start(4, large)
    progress = tally.progress()
    assert progress.steps == 14
    assert progress.occupancy == pytest.approx((10 + 5 + 4) / (2 * 10 + 2 * 4))
    assert progress.counts["active"] == 1
    assert progress.n_slot_atoms == 16
    summary = tally.summary([small, large])
    assert summary["occupancy"] == pytest.approx(progress.occupancy)
    assert summary["atom_steps"] == 3 * 10 + 4 * 5 + 10 * 4
    assert summary["steps"] == {"fire": 14}
    assert summary["buckets"] == [{"n_slot_atoms": 8, "n_slots": 2}, {"n_slot_atoms": 16, "n_slots": 2}]
