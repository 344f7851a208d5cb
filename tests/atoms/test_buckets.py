"""Slot sizes: the cheapest plan of the cost model, and the limits it keeps."""

import itertools

import numpy as np
import pytest

from adiabat.atoms.buckets import CostModel, plan_buckets, slot_size
from adiabat.errors import InputError


def test_slots_are_multiples_of_eight():
    assert [slot_size(n) for n in (1, 8, 9, 40)] == [8, 8, 16, 40]


def test_two_hundred_clusters_share_one_bucket():
    sizes = np.random.default_rng(0).integers(8, 41, 200)
    plan = plan_buckets(sizes)
    (bucket,) = plan.buckets
    assert (bucket.n_slot_atoms, bucket.n_slots) == (40, 64)
    assert bucket.systems.tolist() == list(range(200))
    assert plan.occupancy == pytest.approx(sizes.sum() / (200 * 40))


def test_padding_that_costs_more_than_compiling_is_avoided():
    plan = plan_buckets([8] * 5000 + [400] * 5000)
    assert [bucket.n_slot_atoms for bucket in plan.buckets] == [8, 400]
    assert [len(bucket.systems) for bucket in plan.buckets] == [5000, 5000]
    assert plan.occupancy == 1.0
    assert plan.bucket_of(7).n_slot_atoms == 8
    assert plan.bucket_of(9).n_slot_atoms == 400
    with pytest.raises(InputError, match="401 atoms are more than the 400"):
        plan.bucket_of(401)


def seconds_of(sizes, cuts, cost):
    """What a plan with these slot sizes costs, from the formula."""
    widths = [min(cut for cut in cuts if cut >= n) for n in sizes]
    used = set(widths)
    return len(used) * cost.compile_seconds + sum(cost.steps * float(cost.seconds_per_step(n)) for n in widths)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_other_plan_is_cheaper(seed, most):
    rng = np.random.default_rng(seed)
    cost = CostModel(compile_seconds=float(rng.uniform(0.001, 0.3)), steps=3000.0)
    sizes = rng.integers(1, 65, 30)
    plan = plan_buckets(sizes, max_buckets=most, cost=cost)
    kinds = sorted({slot_size(int(n)) for n in sizes})
    best = min(
        seconds_of(sizes, (*cuts, kinds[-1]), cost)
        for k in range(most)
        for cuts in itertools.combinations(kinds[:-1], k)
    )
    assert len(plan.buckets) <= most
    assert plan.seconds == pytest.approx(best, rel=1e-12)
    cuts = [bucket.n_slot_atoms for bucket in plan.buckets]
    assert seconds_of(sizes, cuts, cost) == pytest.approx(best, rel=1e-12)
    assert sorted(np.concatenate([bucket.systems for bucket in plan.buckets]).tolist()) == list(range(30))
    for bucket in plan.buckets:
        assert all(sizes[bucket.systems] <= bucket.n_slot_atoms)


def test_the_slots_of_a_bucket_hold_no_more_than_allowed():
    plan = plan_buckets([30] * 100, max_atoms=500)
    assert (plan.buckets[0].n_slot_atoms, plan.buckets[0].n_slots) == (32, 500 // 32)
    assert plan_buckets([30] * 3).buckets[0].n_slots == 3
    assert plan_buckets([30] * 100, max_batch_size=7).buckets[0].n_slots == 7


def test_a_structure_larger_than_any_slot_is_named():
    with pytest.raises(InputError, match="structure 1 has 50 atoms, more than the 48"):
        plan_buckets([8, 50], largest=48)
    with pytest.raises(InputError, match=r"frame 4 of 'a.xyz' has 50 atoms, more than the 40"):
        plan_buckets([8, 50], max_atoms=40, names=["frame 3 of 'a.xyz'", "frame 4 of 'a.xyz'"])
    assert plan_buckets([8, 50], largest=50).buckets[-1].n_slot_atoms == 50


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="no structures"):
        plan_buckets([])
    with pytest.raises(InputError, match="max_batch_size is 0"):
        plan_buckets([8], max_batch_size=0)
