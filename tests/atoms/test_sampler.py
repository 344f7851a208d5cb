"""The queue: each system once, nobody behind one that does not fit, and the same after a restart."""

import numpy as np
import pytest

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batching import num_graphs, put, to_data_list
from adiabat.atoms.size_aware_sampler import SizeAwareSampler
from adiabat.errors import InputError


def systems(sizes, **given):
    return [AtomicData(np.arange(3.0 * n).reshape(n, 3), [18] * n, **given) for n in sizes]


def drain(sampler, n_atoms=10**6, n_edges=None):
    ids = []
    while (data := sampler.request_replacement(n_atoms, n_edges)) is not None:
        ids.append(data.system_id)
    return ids


def test_every_system_comes_once_the_largest_first():
    sampler = SizeAwareSampler(systems([3, 9, 9, 1, 5]))
    assert len(sampler) == 5
    assert drain(sampler) == [1, 2, 4, 0, 3]
    assert sampler.exhausted
    assert sampler.request_replacement(100, None) is None


def test_nobody_waits_behind_a_system_that_does_not_fit():
    sampler = SizeAwareSampler(systems([50, 50, 4, 7]))
    assert sampler.request_replacement(10).system_id == 3
    assert sampler.request_replacement(10).system_id == 2
    assert sampler.request_replacement(10) is None
    assert not sampler.exhausted
    assert sampler.request_replacement(50).system_id == 0


def test_edges_limit_as_well():
    data = systems([4, 4, 3])
    edges = {4: [12, 2], 3: [6]}
    sampler = SizeAwareSampler(data, max_edges=15, count_edges=lambda d: edges[d.n_atoms][d is data[1]])
    assert sampler.request_replacement(4, 5).system_id == 1
    assert sampler.request_replacement(4, 6).system_id == 2
    assert sampler.request_replacement(4, 6) is None
    assert sampler.request_replacement(4, 12).system_id == 0


def test_the_first_batch_keeps_all_limits():
    sampler = SizeAwareSampler(systems([5, 20, 9, 9, 2]), max_atoms=31, max_batch_size=4)
    batch = sampler.build_initial_batch(seed=3)
    assert (batch.n_systems, batch.n_slot_atoms) == (4, 24)
    assert [data.system_id for data in to_data_list(batch)] == [1, 2, 4]
    assert batch.clock.status.tolist() == [0, 0, 0, -1]
    assert batch.clock.seed.tolist() == [0, 3]
    assert drain(sampler) == [3, 0]
    with pytest.raises(RuntimeError, match="exhausted"):
        sampler.build_initial_batch()


def test_a_bucket_takes_what_fits_its_slots():
    sampler = SizeAwareSampler(systems([5, 20, 9]), max_batch_size=8)
    batch = sampler.build_initial_batch(n_slot_atoms=16, n_slots=2)
    assert (batch.n_systems, batch.n_slot_atoms) == (2, 16)
    assert [data.system_id for data in to_data_list(batch)] == [2, 0]
    with pytest.raises(RuntimeError, match="fits into slots of 16"):
        sampler.build_initial_batch(n_slot_atoms=16)
    assert not sampler.exhausted


def test_the_first_batch_has_room_for_the_fields_of_those_to_come():
    data = [*systems([5, 5]), *systems([3], system_fields={"charge": 1}, status=4, system_id=9)]
    sampler = SizeAwareSampler(data, max_batch_size=2)
    batch = sampler.build_initial_batch()
    newcomer = sampler.request_replacement(8)
    assert (newcomer.system_id, newcomer.status) == (2, None)  # whatever it was before
    after = put(batch, 0, newcomer)
    assert to_data_list(after)[0].charge == 1
    assert "charge" not in to_data_list(after)[1].system_fields
    assert num_graphs(after) == 2


def test_a_stream_through_few_slots_accounts_for_everybody():
    rng = np.random.default_rng(0)
    sampler = SizeAwareSampler(systems(rng.integers(1, 30, 500)), max_batch_size=8)
    batch, seen = sampler.build_initial_batch(), []
    while num_graphs(batch):
        slot = int(rng.choice(np.flatnonzero(batch.numbers.any(axis=1))))
        seen.append(int(batch.clock.system_id[slot]))
        batch = put(batch, slot, sampler.request_replacement(batch.n_slot_atoms))
    assert sorted(seen) == list(range(500))
    assert sampler.exhausted


def test_a_restart_goes_on_where_the_queue_was():
    data = systems(np.random.default_rng(1).integers(1, 20, 50))
    one, other = SizeAwareSampler(data), SizeAwareSampler(data)
    first = [one.request_replacement(room).system_id for room in (5, 12, 19, 8)]
    state = one.state()
    assert sum(array.nbytes for array in state.values()) < 20
    other.restore(state)
    rest = drain(one)
    assert drain(other) == rest
    assert sorted(first + rest) == list(range(50))
    with pytest.raises(InputError, match="state is of 50 systems; the data set has 49"):
        SizeAwareSampler(data[:-1]).restore(state)


class Lazy:
    """A data set that can say how large a system is without loading it."""

    def __init__(self):
        self.loaded = []

    def __len__(self):
        return 3

    def __getitem__(self, i):
        self.loaded.append(i)
        return systems([i + 2])[0]

    def get_metadata(self, i):
        return i + 2, 10 * i


def test_systems_are_loaded_when_their_turn_comes():
    lazy = Lazy()
    sampler = SizeAwareSampler(lazy, max_edges=20)
    assert lazy.loaded == []
    assert sampler.request_replacement(4, 10).system_id == 1
    assert lazy.loaded == [1]


def test_what_can_never_fit_is_refused_by_name():
    data = [*systems([4]), *systems([40], info={"source": "a.xyz", "frame": 6})]
    with pytest.raises(InputError, match=r"frame 6 of 'a.xyz' has 40 atoms, more than max_atoms = 30"):
        SizeAwareSampler(data, max_atoms=30)
    with pytest.raises(InputError, match="structure 0 has 7 edges, more than max_edges = 5"):
        SizeAwareSampler(data[:1], max_edges=5, count_edges=lambda _: 7)
    with pytest.raises(InputError, match="count_edges"):
        SizeAwareSampler(data, max_edges=5)
    with pytest.raises(InputError, match="max_batch_size is 0"):
        SizeAwareSampler(data, max_batch_size=0)


def test_an_empty_data_set_is_exhausted():
    assert SizeAwareSampler([]).exhausted
