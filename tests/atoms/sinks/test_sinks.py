"""What holds for every sink: each system once, as long as there is room, and back as it was."""

import jax
import numpy as np
import pytest
from sink_systems import batch_of, finished, same

from adiabat.atoms.batching import batch_from
from adiabat.atoms.sinks import MemorySink, write_to
from adiabat.errors import InputError


def test_what_is_written_is_read_back(make_sink):
    sink = make_sink()
    taken = sink.write(batch_of(3, 8, 5), [True, False, True, True])
    assert taken.tolist() == [True, False, True, False]  # the last slot is empty
    assert sink.system_ids == [3, 5]
    assert (len(sink), sink.is_full, 5 in sink, 8 in sink) == (2, False, True, False)
    for i, data in zip((3, 5), sink, strict=True):
        assert same(data, finished(i), rtol=1e-14)
    assert same(sink[-1], finished(5), rtol=1e-14)
    assert same(sink.find(3), finished(3), rtol=1e-14)
    with pytest.raises(KeyError):
        sink.find(8)
    with pytest.raises(IndexError):
        sink[2]


def test_words_about_a_system_are_kept_with_it(make_sink):
    sink = make_sink()
    words = [{"outcome": "done"}, {"outcome": "failed", "reason": 'its "energy" is nan'}, {}]
    sink.write(batch_of(1, 2), info=words)
    sink.sync()
    assert [data.info["outcome"] for data in sink] == ["done", "failed"]
    assert sink[1].info["reason"] == 'its "energy" is nan'


def test_a_system_is_taken_twice_and_written_once(make_sink):
    sink = make_sink()
    sink.write(batch_of(1, 2))
    sink.sync()
    assert sink.write(batch_of(2, 3)).tolist() == [True, True, False]
    assert sink.system_ids == [1, 2, 3]
    assert [data.system_id for data in sink] == [1, 2, 3]


def test_no_more_is_taken_than_there_is_room_for(make_sink):
    sink = make_sink(capacity=2)
    assert sink.write(batch_of(4, 5, 6)).tolist() == [True, True, False, False]
    assert sink.is_full
    # Whom it has already it does not refuse.
    assert sink.write(batch_of(6, 5)).tolist() == [False, True, False]
    assert sink.system_ids == [4, 5]


def test_a_file_is_gone_on_with(make_file_sink):
    with make_file_sink(capacity=3) as sink:
        sink.write(batch_of(1, 2))
    with make_file_sink(capacity=3) as sink:
        assert sink.system_ids == [1, 2]
        assert sink.write(batch_of(2, 7, 8)).tolist() == [True, True, False, False]
        assert sink.is_full
    assert [data.system_id for data in make_file_sink()] == [1, 2, 7]
    assert same(make_file_sink().find(7), finished(7), rtol=1e-14)


@pytest.mark.parametrize("synced", [True, False])
def test_a_sink_goes_back_to_a_checkpoint(make_sink, synced):
    sink = make_sink()
    sink.write(batch_of(1, 2, 3))
    if synced:
        sink.sync()
    sink.write(batch_of(4))
    sink.truncate(2)
    assert [data.system_id for data in sink] == [1, 2]
    sink.write(batch_of(9, 3))
    sink.sync()
    assert [data.system_id for data in sink] == [1, 2, 9, 3]
    assert same(sink[2], finished(9), rtol=1e-14)
    sink.truncate(0)
    assert (len(sink), list(sink)) == (0, [])
    sink.write(batch_of(5))
    assert same(sink[0], finished(5), rtol=1e-14)


def test_a_batch_from_the_device_is_taken(make_sink):
    with jax.enable_x64(True):
        batch = jax.tree.map(jax.numpy.asarray, batch_of(1, 2))
        sink = make_sink()
        assert sink.write(batch, jax.numpy.array([False, True, True])).tolist() == [False, True, False]
    assert same(sink[0], finished(2), rtol=1e-14)


def test_a_batch_that_does_not_know_its_systems_is_refused(make_sink):
    nameless = batch_from([finished(1).replace(system_id=None)])
    with pytest.raises(InputError, match="without a clock"):
        make_sink().write(nameless)


def test_a_chunk_is_shared_out_in_the_order_of_the_sinks(make_sink):
    first, second = MemorySink(capacity=1), make_sink(capacity=2)
    left = write_to([first, second], batch_of(1, 2, 3, 4), [True, True, True, True, True])
    assert left.tolist() == [False, False, False, True, False]
    assert (first.system_ids, second.system_ids) == ([1], [2, 3])
    # Again, after a restart: nobody is in two sinks, though the first has room now.
    first.capacity = 10
    left = write_to([first, second], batch_of(1, 2, 3, 4))
    assert not left.any()
    assert (first.system_ids, second.system_ids) == ([1, 4], [2, 3])


def test_without_sinks_nothing_fits():
    assert write_to([], batch_of(1, 2), [True, False, True]).tolist() == [True, False, False]


def test_an_empty_sink_is_not_nothing(make_sink):
    assert make_sink()
    assert repr(make_sink(capacity=3)).endswith("(0 of 3 systems)")
    with pytest.raises(InputError, match="capacity"):
        make_sink(capacity=-1)


def test_a_systems_own_fields_come_back(make_sink):
    sink = make_sink()
    batch = batch_from(
        [
            finished(1, atom_fields={"q": np.array([1.5, 2])}, system_fields={"n": 3}),
            finished(2, system_fields={"n": 4}),
        ]
    )
    sink.write(batch)
    sink.sync()
    assert [int(data.n) for data in sink] == [3, 4]
    if "traj" not in str(getattr(sink, "path", "")):  # ASE's trajectories have no such columns
        assert sink[0].q.tolist() == [1.5, 2]
        assert "q" not in sink[1].atom_fields or np.isnan(sink[1].q).all()
