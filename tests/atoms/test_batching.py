"""Batches: every field, type and bit of a system comes back, and no slot feels what happens to another."""

import jax
import numpy as np
import pytest

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batching import append, batch_from, index_select, num_graphs, num_nodes, put, to_data_list
from adiabat.atoms.user_fields import fields_of
from adiabat.engine import Clock
from adiabat.errors import InputError

TYPES = [np.float64, np.float32, np.int64, np.int8, np.uint16, bool, np.complex128]
ARRAYS = ("positions", "numbers", "masses", "velocities", "cell", "pbc", "fixed", "forces", "stress")
SINGLE = ("energy", "fixed_center", "system_id", "status")


def random_value(rng, dtype, shape):
    return np.asarray((rng.normal(size=shape) * 50).astype(dtype))


def random_system(rng, i, kinds, *, with_ids=True):
    """A system with a random number of atoms, random results known, and any of the fields of `kinds`."""
    n = int(rng.integers(1, 8))
    given = {name: rng.normal(size=(n, 3)) for name in ("forces", "velocities") if rng.random() < 0.7}
    if rng.random() < 0.7:
        given |= {"energy": rng.normal(), "stress": rng.normal(size=(3, 3))}
    if with_ids:
        given |= {"system_id": 100 + i, "status": int(rng.integers(0, 3))}
    return AtomicData(
        rng.normal(size=(n, 3)),
        rng.integers(1, 90, n),
        masses=rng.random(n) + 1,
        cell=rng.normal(size=(3, 3)),
        pbc=rng.random(3) < 0.5,
        fixed=rng.random(n) < 0.3,
        fixed_center=rng.random() < 0.5,
        atom_fields={f"a{k}": random_value(rng, t, (n, *s)) for k, (t, s, p) in enumerate(kinds) if rng.random() < p},
        system_fields={f"s{k}": random_value(rng, t, s) for k, (t, s, p) in enumerate(kinds) if rng.random() < p},
        **given,
    )


def random_systems(seed, count=5, **given):
    rng = np.random.default_rng(seed)
    shapes = [(), (2,), (3, 3)]
    kinds = [(TYPES[rng.integers(7)], shapes[rng.integers(3)], [1.0, 0.5][rng.integers(2)]) for _ in range(3)]
    return [random_system(rng, i, kinds, **given) for i in range(count)]


def same_array(a, b):
    return (a is None and b is None) or (
        a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b)
    )


def assert_same(one, other):
    assert all(same_array(getattr(one, name), getattr(other, name)) for name in ARRAYS)
    assert [getattr(one, name) for name in SINGLE] == [getattr(other, name) for name in SINGLE]
    for kind in ("atom_fields", "system_fields"):
        assert getattr(one, kind).keys() == getattr(other, kind).keys()
        assert all(same_array(getattr(one, kind)[name], getattr(other, kind)[name]) for name in getattr(one, kind))


def assert_same_slot(batch, slot, other, other_slot):
    """Every array of the two slots equal to the bit, neighbor lists and clock included."""
    for a, b in zip(jax.tree.leaves(bare(batch)), jax.tree.leaves(bare(other)), strict=True):
        assert np.asarray(a)[slot].tobytes() == np.asarray(b)[other_slot].tobytes()


def bare(batch):
    return batch.replace(clock=batch.clock and batch.clock.replace(seed=()))


@pytest.mark.parametrize("seed", range(12))
def test_every_field_and_type_survives_a_round_trip(seed):
    systems = random_systems(seed, with_ids=seed % 2 == 0)
    batch = batch_from(systems, n_slot_atoms=9, n_slots=7)
    assert (batch.n_systems, batch.n_slot_atoms) == (7, 9)
    assert (batch.clock is not None) == (seed % 2 == 0)
    back = to_data_list(batch)
    for one, other in zip(systems, back, strict=True):
        assert_same(one, other)
    # And through JAX, as the engine hands a batch on.
    with jax.enable_x64(True):
        for one, other in zip(systems, to_data_list(jax.tree.map(jax.numpy.asarray, batch)), strict=True):
            assert_same(one, other)


def test_slots_are_as_large_as_the_largest_system_and_padded_with_nothing():
    systems = [AtomicData(np.ones((n, 3)) * n, [18] * n, velocities=np.ones((n, 3))) for n in (2, 5)]
    batch = batch_from(systems)
    assert batch.numbers.tolist() == [[18, 18, 0, 0, 0], [18] * 5]
    assert batch.masses[0, 2:].tolist() == [1, 1, 1]
    assert not batch.positions[0, 2:].any()
    assert not batch.velocities[0, 2:].any()
    assert (num_graphs(batch), num_nodes(batch)) == (2, 7)


def test_energy_and_forces_that_were_never_computed_are_nan_and_nothing_else_is():
    batch = batch_from([AtomicData([[0.0, 0, 0]], [18])], n_slot_atoms=2, n_slots=2)
    assert np.isnan(batch.energy[0])
    assert np.isnan(batch.forces[0, 0]).all()
    assert not batch.stress.any()
    finite = batch.replace(energy=batch.energy[1:], forces=batch.forces[:, 1:])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(finite))


def test_a_batch_of_empty_slots_holds_nothing():
    batch = batch_from([], n_slot_atoms=4, n_slots=3)
    assert (num_graphs(batch), num_nodes(batch), to_data_list(batch)) == (0, 0, [])
    with pytest.raises(InputError, match="0 slots for 0 atoms"):
        batch_from([])


@pytest.mark.parametrize("seed", range(6))
def test_put_fills_one_slot_and_leaves_the_others_to_the_bit(seed):
    *systems, newcomer = random_systems(seed, 5)
    fields = fields_of([*systems, newcomer])
    batch = batch_from(systems, 8, 5, fields=fields)
    lists = np.random.default_rng(0).normal(size=(5, 3))
    clock = batch.clock.replace(age=np.arange(1, 6, dtype=np.int32))
    batch = batch.replace(neighbors={"reference": lists, "count": np.arange(1, 6)}, clock=clock)
    after = put(batch, 2, newcomer, status=1)
    for slot in (0, 1, 3, 4):
        assert_same_slot(after, slot, batch, slot)
    assert_same(to_data_list(after)[2], newcomer.replace(status=1))
    alone = batch_from([newcomer], 8, 1, fields=fields, status=1)
    assert_same_slot(after.replace(neighbors=()), 2, alone, 0)
    assert after.clock.age.tolist() == [1, 2, 0, 4, 5]
    assert not after.neighbors["reference"][2].any()


def test_what_was_in_a_slot_leaves_no_trace():
    first, second, third = random_systems(1, 3)
    fields = fields_of([first, second, third])
    big = first.replace(system_id=9)
    emptied = put(batch_from([big, second], 8, 2, fields=fields), 0, None)
    assert num_graphs(emptied) == 1
    assert emptied.clock.system_id.tolist() == [-1, second.system_id]
    assert emptied.clock.status[0] == -1
    assert_same_slot(emptied, 0, batch_from([second], 8, 2, fields=fields), 1)
    assert_same_slot(put(emptied, 0, third), 0, batch_from([third], 8, 1, fields=fields), 0)


def test_put_takes_several_systems_and_jax_arrays():
    systems = random_systems(4, 4)
    with jax.enable_x64(True):
        batch = jax.tree.map(jax.numpy.asarray, batch_from(systems[:2], 8, 3, fields=fields_of(systems)))
        after = put(batch, [2, 0], systems[2:])
    assert [each.system_id for each in to_data_list(after)] == [103, 101, 102]
    assert_same(to_data_list(after)[0], systems[3])


def test_what_cannot_be_put_is_refused_by_name():
    small = AtomicData([[0.0, 0, 0]], [18], system_id=0)
    large = AtomicData(np.eye(3), [18] * 3, system_id=5)
    charged = small.replace(system_id=1, system_fields={"charge": 1})
    batch = batch_from([small], 2, 2)
    with pytest.raises(InputError, match="structure 5 has 3 atoms, more than the 2"):
        put(batch, 1, large)
    with pytest.raises(InputError, match="structure 1 has the field 'charge', which the batch has not"):
        put(batch, 1, charged)
    with pytest.raises(InputError, match="structure 0 lacks the field 'charge'"):
        put(batch_from([charged], 2, 2), 1, small)
    with pytest.raises(InputError, match="'charge' of structure 1 has another shape"):
        put(batch_from([charged], 2, 2), 0, charged.replace(charge=[1, 2]))
    with pytest.raises(InputError, match="'charge' of structure 1 is float64; the batch has int64"):
        put(batch_from([charged], 2, 2), 0, charged.replace(charge=0.5))
    with pytest.raises(InputError, match=r"the same system id: \[0, 0\]"):
        put(batch, 1, small)
    with pytest.raises(InputError, match="the structure has no system id"):
        put(batch, 1, small.replace(system_id=None))
    with pytest.raises(IndexError, match="no slot 2"):
        put(batch, 2, small)
    with pytest.raises(InputError, match="2 systems do not fit into 1 slots"):
        batch_from([small, charged], n_slots=1)
    with pytest.raises(InputError, match="no system id"):
        batch_from([small, small.replace(system_id=None)])


def test_a_field_that_means_two_things_is_refused_with_both_names():
    one = AtomicData([[0.0, 0, 0]], [18], system_fields={"q": 1}, info={"source": "a.xyz", "frame": 0})
    two = AtomicData([[0.0, 0, 0]], [18], atom_fields={"q": [1]}, info={"source": "a.xyz", "frame": 1})
    with pytest.raises(InputError, match=r"for the system in frame 0 of 'a.xyz' and .* for each atom in frame 1"):
        batch_from([one, two])


def test_a_field_of_two_types_gets_one_that_holds_both():
    values = [np.int64(3), np.float64(0.5), np.float32(2)]
    batch = batch_from([AtomicData([[0.0, 0, 0]], [18], system_fields={"q": value}) for value in values])
    assert batch.q.dtype == np.float64
    assert batch.q.tolist() == [3, 0.5, 2]


def test_index_select_takes_slots_in_order_or_by_mask():
    systems = random_systems(3, 4)
    batch = batch_from(systems, 8, 5)
    chosen = index_select(batch, [3, 0])
    assert_same_slot(chosen, 0, batch, 3)
    assert_same_slot(chosen, 1, batch, 0)
    assert np.array_equal(chosen.clock.seed, batch.clock.seed)
    mask = np.array([False, True, False, True, False])
    assert [each.system_id for each in to_data_list(index_select(batch, mask))] == [101, 103]
    assert index_select(batch, []).n_systems == 0
    with jax.enable_x64(True):
        on_device = jax.tree.map(jax.numpy.asarray, batch)
        assert_same_slot(index_select(on_device, [-1, 2]), 1, batch, 2)
        with pytest.raises(IndexError, match="5"):
            index_select(on_device, [5])
    with pytest.raises(IndexError, match="mask"):
        index_select(batch, mask[:3])


@pytest.mark.parametrize("seed", range(6))
def test_append_keeps_every_system_of_both_whatever_their_slots(seed):
    systems = random_systems(seed, 6)
    one, two = batch_from(systems[:4], 8, 5), batch_from(systems[4:], 9)
    joined = append(one, two)
    assert (joined.n_systems, joined.n_slot_atoms) == (7, 9)
    assert (joined.masses[joined.numbers == 0] == 1).all()
    whole = merged_types(systems)
    for expected, found in zip(whole, to_data_list(joined), strict=True):
        assert_same(expected, found)


def merged_types(systems):
    fields = fields_of(systems)
    for each in systems:
        for kind in ("atom_fields", "system_fields"):
            cast = {name: value.astype(fields[name].dtype) for name, value in getattr(each, kind).items()}
            each = each.replace(**{kind: cast})
        yield each


def test_neighbor_lists_of_other_widths_do_not_hinder_append():
    one, two = (batch_from([AtomicData([[0.0, 0, 0]], [18], system_id=i)]) for i in range(2))
    lists = [{"index": np.zeros((1, 1, k), np.int32)} for k in (4, 9)]
    joined = append(one.replace(neighbors=lists[0]), two.replace(neighbors=lists[1]))
    assert joined.neighbors == ()
    assert joined.clock.system_id.tolist() == [0, 1]


def test_batches_that_do_not_belong_together_are_not_joined():
    one, two, nobody = (batch_from([AtomicData([[0.0, 0, 0]], [18], system_id=i)]) for i in (0, 0, None))
    with pytest.raises(InputError, match="both batches to join have a system 0"):
        append(one, two)
    with pytest.raises(InputError, match="has system ids and the other has none"):
        append(one, nobody)
    with pytest.raises(InputError, match="two seeds"):
        append(one, two.replace(clock=Clock.start(5, 1, 0, [3])))
