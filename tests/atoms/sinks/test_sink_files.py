"""Files of sinks: what survives a kill, a full disk and a file that is none of theirs."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import ase.io
import h5py
import numpy as np
import pytest
from sink_systems import batch_of, finished, same

from adiabat.atoms.ase_conversion import to_ase
from adiabat.atoms.batching import batch_from
from adiabat.atoms.sinks import ASESink, HDF5Sink
from adiabat.errors import InputError, OutputError


def test_an_extxyz_file_cut_anywhere_goes_on_to_be_what_it_would_have_been(tmp_path):
    file = tmp_path / "done.xyz"
    with ASESink(file) as sink:
        sink.write(batch_of(1, 2, 3))
    whole = file.read_bytes()
    frames = [len(text) for text in whole.split(b"\n")]
    places = {*range(0, 150, 7), *range(0, len(whole), 97), *np.cumsum(np.array(frames) + 1)[:-1].tolist()}
    for n in sorted(places):
        file.write_bytes(whole[:n])
        with ASESink(file) as sink:
            sink.write(batch_of(1, 2, 3))
        assert file.read_bytes() == whole


def test_ase_reads_the_file(tmp_path):
    with ASESink(tmp_path / "done.extxyz") as sink:
        sink.write(batch_of(1, 2))
    frames = ase.io.read(tmp_path / "done.extxyz", ":")
    assert [atoms.info["system_id"] for atoms in frames] == [1, 2]
    assert np.array_equal(frames[1].positions, finished(2).positions)
    assert frames[1].get_potential_energy() == finished(2).energy


def test_a_trajectory_cut_anywhere_loses_its_last_frames_only(tmp_path):
    file = tmp_path / "done.traj"
    with ASESink(file) as sink:
        sink.write(batch_of(1))
        first = file.stat().st_size
        sink.write(batch_of(2, 3))
    whole = file.read_bytes()
    for n in np.linspace(first, len(whole) - 1, 12).astype(int):
        file.write_bytes(whole[:n])
        with ASESink(file) as sink:
            sink.write(batch_of(1, 2, 3))
            assert sorted(sink.system_ids) == [1, 2, 3]
        assert [same(data, finished(i), 1e-14) for i, data in zip((1, 2, 3), ASESink(file), strict=True)] == [True] * 3


@pytest.mark.parametrize("name", ["done.h5", "done.xyz"])
def test_a_process_killed_while_it_writes_leaves_a_file_to_go_on_with(tmp_path, name):
    file = tmp_path / name
    kind = "HDF5Sink" if name.endswith("h5") else "ASESink"
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from sink_systems import batch_of
        from adiabat.atoms.sinks import {kind}
        sink = {kind}({str(file)!r})
        print("ready", flush=True)
        for i in range(0, 100000, 2):
            sink.write(batch_of(i, i + 1))
            sink.sync()
        """
    last = 0
    for wait in (0.05, 0.25):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        sink = HDF5Sink(file) if kind == "HDF5Sink" else ASESink(file)
        assert len(sink) >= last
        assert sink.system_ids == list(range(len(sink)))
        assert all(same(data, finished(i), 1e-14) for i, data in enumerate(sink))
        last = len(sink)
    assert last > 0


def test_hdf5_records_wait_until_they_are_brought_to_disk(tmp_path):
    sink = HDF5Sink(tmp_path / "new" / "done.h5")
    sink.write(batch_of(1, 2))
    assert len(sink) == 2
    assert same(sink[1], finished(2))
    assert not sink.path.exists()
    sink.sync()
    with h5py.File(sink.path) as file:
        assert file["first_atom"][:].tolist() == [0, 2, 5]
        assert file["energy"][:].tolist() == [finished(1).energy, finished(2).energy]
        assert np.array_equal(file["positions"][2:], finished(2).positions)


def test_hdf5_records_that_are_forgotten_leave_the_file(tmp_path):
    with HDF5Sink(tmp_path / "done.h5") as sink:
        sink.write(batch_of(1, 2, 3, system_fields={"n": 3}))
    sink.truncate(2)
    with h5py.File(sink.path) as file:
        assert [len(file[name]) for name in ("positions", "energy", "info", "first_atom")] == [5, 2, 2, 3]
        assert len(file["system_fields/n"]) == 2


def test_hdf5_records_do_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("adiabat.atoms.sinks.hdf5_file.MOST_WAITING", 3)
    sink = HDF5Sink(tmp_path / "done.h5")
    for i in range(0, 10, 2):
        sink.write(batch_of(i, i + 1))
    assert HDF5Sink(sink.path).system_ids == [0, 1, 2, 3, 4, 5, 6, 7]
    assert all(same(data, finished(i)) for i, data in enumerate(sink))


TYPES = [np.float32, np.int8, np.uint16, np.int64, bool, np.complex128]


def test_hdf5_keeps_every_type_and_remembers_what_is_lacking(tmp_path):
    given = {f"f{k}": np.ones((2, 2)).astype(dtype) for k, dtype in enumerate(TYPES)}
    full = finished(1, atom_fields={"q": np.ones((2, 3), np.float32)}, system_fields=given, info={"source": "a.xyz"})
    bare = finished(2).replace(energy=None, forces=None, status=None)
    with HDF5Sink(tmp_path / "done.h5") as sink:
        sink._append([bare])
        sink._append([full.replace(stress=np.eye(3), cell=np.eye(3), pbc=True, fixed=[True, False])])
    with h5py.File(sink.path) as file:
        assert file["energy"].shape == (2,)
    first, second = HDF5Sink(sink.path)
    assert (first.energy, first.forces, first.stress, first.status) == (None, None, None, None)
    assert (first.atom_fields, first.system_fields) == ({}, {})
    assert second.q.dtype == np.float32
    assert [second.system_fields[f"f{k}"].dtype for k in range(len(TYPES))] == [np.dtype(t) for t in TYPES]
    assert all(np.array_equal(second.system_fields[name], value) for name, value in given.items())
    assert (second.stress.tolist(), second.pbc.all(), second.fixed.tolist()) == (
        np.eye(3).tolist(),
        True,
        [True, False],
    )
    assert second.info == {"source": "a.xyz"}


def test_a_field_of_another_type_than_in_the_file_is_refused(tmp_path):
    sink = HDF5Sink(tmp_path / "done.h5")
    sink.write(batch_of(1, system_fields={"n": 3}))
    with pytest.raises(InputError, match=r"'n' is float64 and in '.*done.h5' it is int64"):
        sink.write(batch_of(2, system_fields={"n": 3.5}))
    with pytest.raises(InputError, match=r"'n' is .* for the system in"):
        sink.write(batch_of(2, system_fields={"n": [3]}))
    assert sink.system_ids == [1]


def full_disk(*_args, **_given):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["done.h5", "done.xyz"])
def test_a_full_disk_takes_nothing_and_spoils_nothing(tmp_path, monkeypatch, name):
    sink = HDF5Sink(tmp_path / name) if name.endswith("h5") else ASESink(tmp_path / name)
    sink.write(batch_of(1))
    sink.sync()
    before = sink.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("adiabat.atoms.sinks.hdf5_file.MOST_WAITING", 1)
        patch.setattr("adiabat.atoms.sinks.hdf5_file.shutil.copyfile", full_disk)
        patch.setattr("adiabat.atoms.sinks.frame_files.extxyz_text", full_disk)
        with pytest.raises(OutputError, match="No space left"):
            sink.write(batch_of(2))
    assert sink.system_ids == [1]
    assert sink.path.read_bytes() == before
    sink.write(batch_of(2))
    sink.sync()
    assert [data.system_id for data in sink] == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xyz", "1\n\nHe 0 0 0\n", "has no system_id"),
        ("a.xyz", "2\nmine=1\nHe 0 0 0\n", "is damaged: the file ends after 1 of its 2 atoms"),
        ("a.xyz", "my notes\n", "is damaged: it begins with 'my notes'"),
        ("a.xyz", "2\nsystem_id=1\nHe 0 0 0\n1\nsystem_id=2\nHe 0 0 0\n", "frame 0 of .* it has 1 of the 2 atoms"),
        ("a.xyz", "1\nsystem_id=1\nHe 0 0 0\n" * 2, "holds a system twice"),
        ("a.h5", "my notes", "cannot be read as HDF5"),
        ("a.traj", "my notes", "is no trajectory of ASE"),
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        HDF5Sink(file) if name.endswith("h5") else ASESink(file)
    assert file.read_text() == content


def test_another_hdf5_file_is_left_alone(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["energy"] = [1.0]
    with pytest.raises(InputError, match="no file of systems"):
        HDF5Sink(tmp_path / "a.h5")


def test_a_trajectory_of_something_else_is_left_alone(tmp_path):
    ase.io.write(tmp_path / "a.traj", to_ase(finished(1).replace(system_id=None)))
    with pytest.raises(InputError, match="has no system_id"):
        ASESink(tmp_path / "a.traj")


def test_ids_are_those_of_the_data_set_not_of_slots(tmp_path):
    batch = batch_from([finished(40), finished(7)])
    with ASESink(tmp_path / "done.xyz") as sink:
        sink.write(batch)
    assert ASESink(tmp_path / "done.xyz").system_ids == [40, 7]
