"""Logs and trajectories: what is in them, and that an interruption leaves no trace."""

import csv

import ase.io
import h5py
import numpy as np
import pytest
from hook_toys import SPRINGS, batch_of_clusters, clusters, driver_of, relax_and_heat, streaming

from adiabat.atoms import LoggingHook, TrajectoryWriter
from adiabat.atoms.hooks import read_trajectory
from adiabat.atoms.integrators import NVE
from adiabat.engine import AbstractCallback, Checkpoints
from adiabat.errors import InputError, OutputError

SUFFIXES = ("xyz", "h5", "traj")


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def writers(folder, frequency=7, suffixes=SUFFIXES):
    logs = [LoggingHook(folder / f"log.{kind}", frequency) for kind in ("csv", "jsonl")]
    return [*logs, *(TrajectoryWriter(folder / f"path.{suffix}", frequency) for suffix in suffixes)]


def frames(path):
    """Everything that tells one frame from another."""
    return [
        (
            int(data.system_step), int(data.step), data.info["stage"], data.system_id, data.status, data.energy,
            data.positions.tolist(), data.velocities.tolist(),
        )
        for data in read_trajectory(path)
    ]  # fmt: skip


class Fails(AbstractCallback):
    """Ends a run as a kill does: without a checkpoint, with files that know more than the last one."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, step, log_data, driver):
        if step == self.step:
            raise RuntimeError("killed")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run of four systems through two stages, its files, and its length."""
    folder = tmp_path_factory.mktemp("whole")
    driver = driver_of(relax_and_heat(), batch_of_clusters(), callbacks=writers(folder))
    driver.run()
    return folder, driver


def test_every_row_and_frame_says_whose_it_is_and_those_of_one_step_agree(uninterrupted):
    folder, driver = uninterrupted
    rows = {(int(row["system_id"]), int(row["system_step"])): row for row in table(folder / "log.csv")}
    seen = {}
    for data in read_trajectory(folder / "path.xyz"):
        seen.setdefault(data.system_id, []).append(int(data.system_step))
        if data.system_step == 0:
            assert data.info["stage"] == "fire"
            continue
        row = rows.pop((data.system_id, int(data.system_step)))
        assert (int(row["step"]), row["stage"]) == (data.step, data.info["stage"])
        assert float(row["energy"]) == data.energy
        assert (row["temperature"] == "") == (data.info["stage"] == "fire")
    assert not rows
    last = np.asarray(driver.state.clock.age).tolist()
    assert seen == {i: [*range(0, n, 7), n] for i, n in enumerate(last)}
    assert len(set(last)) > 1


def test_all_formats_hold_the_same_frames(uninterrupted):
    folder, _ = uninterrupted
    expected = frames(folder / "path.xyz")
    for suffix in ("h5", "traj"):
        for one, other in zip(frames(folder / f"path.{suffix}"), expected, strict=True):
            assert one[:-1] == other[:-1]
            np.testing.assert_allclose(one[-1], other[-1], rtol=1e-14, atol=1e-300)  # ASE keeps momenta
    with h5py.File(folder / "path.h5") as file:
        assert file["system_fields/system_step"][:].tolist() == [frame[0] for frame in expected]
    assert ase.io.read(folder / "path.xyz", 0).info["system_id"] == 0


@pytest.mark.parametrize("stop", [8, 37])
def test_files_of_a_killed_and_resumed_run_are_those_of_the_uninterrupted_one(tmp_path, uninterrupted, stop):
    folder, whole = uninterrupted

    def driver(*more):
        checkpoints = Checkpoints(tmp_path / "checkpoints", step_interval=10, time_interval=0.0)
        callbacks = [*writers(tmp_path), *more]
        return driver_of(relax_and_heat(), batch_of_clusters(), callbacks=callbacks, checkpoints=checkpoints)

    first = driver(Fails(stop))
    first.restore()
    with pytest.raises(RuntimeError, match="killed"):
        first.run()
    killed = len(table(tmp_path / "log.csv"))
    second = driver()
    saved = second.restore()
    assert saved == {8: None, 37: 30}[stop]
    assert killed == {8: 4, 37: 20}[stop]  # of which the last four have to be cut off
    second.run()
    assert second.step_count == whole.step_count
    for name in ("log.csv", "log.jsonl", "path.xyz"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    for suffix in ("h5", "traj"):
        assert frames(tmp_path / f"path.{suffix}") == frames(folder / f"path.{suffix}")


def test_frames_in_flight_are_those_of_a_systems_own_steps_whoever_else_is_there(tmp_path):
    data, found = clusters(9), []
    for slots in (1, 4):
        path = tmp_path / f"{slots}.xyz"
        driver, sink = streaming(relax_and_heat(), data, slots, callbacks=[TrajectoryWriter(path, 10)])
        driver.run()
        paths = {}
        for frame in read_trajectory(path):
            paths.setdefault(frame.system_id, []).append(frame)
        found.append((paths, {i: sink.find(i) for i in range(len(data))}))
    for i in range(len(data)):
        (one, end), (other, _) = ((paths[i], ends[i]) for paths, ends in found)
        steps = [int(frame.system_step) for frame in one]
        assert steps == [*range(0, end.info["steps"], 10), end.info["steps"]]
        assert [int(frame.system_step) for frame in other] == steps
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.positions, b.positions, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(one[-1].positions, end.positions)


def test_a_second_run_appends(tmp_path):
    log, path = LoggingHook(tmp_path / "log.csv", 2, columns=["energy"]), TrajectoryWriter(tmp_path / "path.xyz", 2)
    nve = NVE(SPRINGS, dt=0.1, hooks=[log, path])
    batch = nve.run(nve.run(batch_of_clusters(1), 3), 3)
    assert [row["system_step"] for row in table(log.path)] == ["2", "4", "6"]
    assert [frame[0] for frame in frames(path.path)] == [0, 2, 4, 6]
    nve.run(batch_of_clusters(1, seed=1), 2)
    assert [row["system_step"] for row in table(log.path)] == ["2", "4", "6", "2"]
    assert [frame[0] for frame in frames(path.path)] == [0, 2, 4, 6, 0, 2]
    assert list(table(log.path)[0]) == ["step", "system_id", "system_step", "stage", "energy"]
    np.testing.assert_array_equal(frames(path.path)[3][6], batch.to_data_list()[0].positions)


def test_a_hook_of_a_sub_stage_writes_what_happens_there_and_once(tmp_path):
    relaxed, both = (LoggingHook(tmp_path / name) for name in ("relaxed.csv", "both.csv"))
    path = TrajectoryWriter(tmp_path / "heated.xyz", 10)
    fused = relax_and_heat(relax_hooks=[relaxed, both], heat_hooks=[both, path])
    after = fused.run(batch_of_clusters())
    ages = np.asarray(after.clock.age)
    assert {row["stage"] for row in table(relaxed.path)} == {"fire"}
    assert len(table(relaxed.path)) == ages.sum() - 4 * 30
    assert len(table(both.path)) == ages.sum()
    assert {frame[2] for frame in frames(path.path)} == {"nvt-langevin"}


def test_errors_of_the_file_system_end_the_run(tmp_path, monkeypatch):
    nve = NVE(SPRINGS, dt=0.1, hooks=[LoggingHook(tmp_path / "log.csv")])

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("adiabat.io.writers.csv_file.CSVWriter._write", full_disk)
    with pytest.raises(OutputError, match=r"log\.csv: No space left on device"):
        nve.run(batch_of_clusters(1), 3)
    (tmp_path / "folder.xyz").mkdir()
    with pytest.raises(OutputError, match=r"folder\.xyz: Is a directory"):
        NVE(SPRINGS, dt=0.1, hooks=[TrajectoryWriter(tmp_path / "folder.xyz")]).run(batch_of_clusters(1), 3)


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no file for a log; expected one that ends in \.csv"):
        LoggingHook(tmp_path / "log.txt")
    with pytest.raises(InputError, match=r"no file for a trajectory; expected one that ends in \.xyz"):
        TrajectoryWriter(tmp_path / "path.pdb")
    with pytest.raises(InputError, match="the frequency of TrajectoryWriter is 0; expected a positive integer"):
        TrajectoryWriter(tmp_path / "path.xyz", 0)
    with pytest.raises(InputError, match="there is no trajectory"):
        read_trajectory(tmp_path / "path.xyz")
    batch = batch_of_clusters(1)
    batch = batch.replace(system_fields={"step": np.zeros(1)})
    with pytest.raises(InputError, match=r"the batch has a field 'step', which frames of .* use: rename yours"):
        NVE(SPRINGS, dt=0.1, hooks=[TrajectoryWriter(tmp_path / "path.xyz")]).run(batch, 3)
