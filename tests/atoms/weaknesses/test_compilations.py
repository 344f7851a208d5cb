"""Programs are few: one step and one entry for a bucket, whatever comes through it, and one evaluation of the model a
step, whatever the stages."""

from dataclasses import dataclass

import jax
import numpy as np
from toy_potentials import Springs
from weak_systems import ARGON, Notes, clusters, streamed

from adiabat.atoms import FIRE, NVE, AtomicData, Batch, ConvergenceHook, NVTLangevin
from adiabat.atoms.buckets import plan_buckets
from adiabat.engine import Clock


def test_two_hundred_clusters_need_three_programs_at_most():
    data = clusters(np.random.default_rng(0).integers(8, 41, 200))
    plan = plan_buckets([each.n_atoms for each in data])
    notes = Notes()
    for bucket in plan.buckets:
        relax = FIRE(ARGON, convergence_hook=ConvergenceHook.from_fmax(1e-3), n_steps=12)
        fused, sink = streamed([(0, relax)], [data[i] for i in bucket.systems], bucket.n_slots, hooks=[notes])
        assert len(sink) == len(bucket.systems)
        assert fused.active_batch.n_slot_atoms == bucket.n_slot_atoms
    assert 1 <= len(notes.events["compile_started"]) <= 3


@dataclass(frozen=True, eq=False)
class Counted(Springs):
    """Springs that count how often they are evaluated."""

    def evaluate(self, batch):
        def called():
            CALLS.append(1)

        jax.debug.callback(called)
        return super().evaluate(batch)


CALLS = []


def test_three_sub_stages_evaluate_the_model_once_a_step():
    rng, springs = np.random.default_rng(1), Counted()
    fused = (
        NVE(springs, dt=0.1, n_steps=9)
        + NVTLangevin(springs, dt=0.1, temperature=100.0, n_steps=8)
        + NVE(springs, dt=0.1, n_steps=7)
    )
    data = [AtomicData(rng.normal(size=(3, 3)), [1, 4, 1]) for _ in range(3)]
    batch = Batch.from_data_list(data)
    # One in each of the three, so that all of them have members from the first step on.
    batch = batch.replace(clock=Clock.start(0, 3, 0).replace(status=np.array([0, 1, 2], np.int32)))
    counts = []
    for _ in range(12):
        batch, _ = fused.step(batch)
        jax.effects_barrier()
        counts.append(len(CALLS))
    assert np.diff(counts).tolist() == [1] * 11
    assert counts[0] <= 1 + 3  # and once for each who enters
