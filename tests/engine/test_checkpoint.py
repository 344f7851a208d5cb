"""Files of checkpoints: whole or not there, numbered, rotated, and never believed when damaged."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.engine import CheckpointDamaged, Checkpoints
from adiabat.errors import InputError, OutputError

TREE = {
    "systems": {"walkers": np.arange(24, dtype=np.float32).reshape(1, 8, 3), "none": np.zeros((0, 3))},
    "own": {"train": {"moments": (np.ones((1, 5)), np.float64(2.5)), "flag": np.array([True])}},
}


def steps(checkpoints):
    return [int(path.stem.rsplit("-", 1)[1]) for path in checkpoints.newest_first()]


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    path = checkpoints.save(7, TREE, {"signature": {"kind": "sr"}})
    saved = checkpoints.load(path)
    assert saved.step == 7
    assert saved.manifest["signature"] == {"kind": "sr"}
    back = saved.fill(TREE)
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    for new, old in zip(jax.tree.leaves(back), jax.tree.leaves(TREE), strict=True):
        assert new.dtype == np.asarray(old).dtype
        np.testing.assert_array_equal(new, old)


def test_dtypes_that_npy_does_not_know_and_random_keys_come_back_too(tmp_path):
    tree = {"half": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3), "keys": jax.random.split(jax.random.key(3), 4)}
    checkpoints = Checkpoints(tmp_path)
    back = checkpoints.load(checkpoints.save(1, tree, {})).fill(tree)
    assert back["half"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(back["half"], np.float32), np.asarray(tree["half"], np.float32))
    assert bool(jnp.all(jax.random.key_data(back["keys"]) == jax.random.key_data(tree["keys"])))
    assert jax.random.normal(back["keys"][0]) == jax.random.normal(tree["keys"][0])


def test_numpy_can_read_the_arrays(tmp_path):
    path = Checkpoints(tmp_path).save(1, TREE, {})
    with np.load(path) as file:
        np.testing.assert_array_equal(file["systems/walkers"], TREE["systems"]["walkers"])


def test_order_is_that_of_numbers_and_not_of_text(tmp_path):
    """As text, step-999999 comes after step-1000999."""
    checkpoints = Checkpoints(tmp_path, keep=10)
    for step in (999_999, 1_000_999, 12_345_678_901):
        checkpoints.save(step, TREE, {})
    (tmp_path / "step-000000000999.npz").write_bytes(b"of another program, with more zeros")
    assert steps(checkpoints) == [12_345_678_901, 1_000_999, 999_999, 999]


def test_the_newest_are_kept_and_the_first_of_every_so_many_steps(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3, keep_every=100)
    for step in range(0, 501, 30):
        checkpoints.save(step, TREE, {})
    assert steps(checkpoints) == [480, 450, 420, 300, 210, 120]


def test_ends_of_stages_are_kept_for_good(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(10, TREE, {}, end_of="pretrain")
    checkpoints.save(20, TREE, {}, end_of="train-2")
    for step in range(20, 100, 10):
        checkpoints.save(step, TREE, {})
    assert steps(checkpoints) == [90, 80, 20, 10]
    assert {stage: path.name for stage, path in checkpoints.ends().items()} == {
        "pretrain": "end-of-pretrain-step-000000010.npz",
        "train-2": "end-of-train-2-step-000000020.npz",
    }


def test_a_checkpoint_makes_those_of_later_steps_obsolete(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (10, 20, 30):
        checkpoints.save(step, TREE, {})
    checkpoints.save(30, TREE, {}, end_of="evaluate")
    checkpoints.save(15, TREE, {})
    assert steps(checkpoints) == [15, 10]


def test_one_is_due_when_both_intervals_have_passed(tmp_path):
    assert not Checkpoints(tmp_path, step_interval=10, time_interval=1000.0).due(50)
    assert not Checkpoints(tmp_path, step_interval=10, time_interval=0.0).due(9)
    assert Checkpoints(tmp_path, step_interval=10, time_interval=0.0).due(10)


@pytest.mark.parametrize("how", [{"step_interval": 0}, {"time_interval": -1.0}, {"keep": 0}, {"keep_every": 0}])
def test_numbers_out_of_range_are_refused(tmp_path, how):
    with pytest.raises(InputError):
        Checkpoints(tmp_path, **how)


def test_a_flipped_byte_anywhere_is_noticed_or_harmless(tmp_path):
    """Dates and the like are no data; wherever else a byte is flipped, the file is not believed."""
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(1, TREE, {"signature": {"kind": "sr"}})
    good, whole = checkpoints.load(path), path.read_bytes()
    noticed = 0
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(bytes(damaged))
        try:
            again = checkpoints.load(path)
        except CheckpointDamaged:
            noticed += 1
            continue
        assert again.manifest == good.manifest
        for name, array in good.arrays.items():
            np.testing.assert_array_equal(again.arrays[name], array)
    assert noticed > len(whole) / 7 / 2


def test_a_truncated_file_is_noticed(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(1, TREE, {})
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointDamaged):
            checkpoints.load(path)


def test_a_changed_array_with_a_correct_archive_is_noticed(tmp_path):
    """A bit that flips before the archive is written leaves the archive's own checksum right."""
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(1, {"a": np.arange(5)}, {})
    with zipfile.ZipFile(path) as archive:
        manifest = archive.read("manifest.json")
        array = bytearray(archive.read("a.npy"))
    array[-3] ^= 1
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", bytes(array))
        archive.writestr("manifest.json", manifest)
    with pytest.raises(CheckpointDamaged, match="checksum of a is wrong"):
        checkpoints.load(path)


def test_a_changed_manifest_with_a_correct_archive_is_noticed(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(1, {}, {})
    with zipfile.ZipFile(path) as archive:
        wrapped = json.loads(archive.read("manifest.json"))
    wrapped["contents"] = wrapped["contents"].replace('"step": 1', '"step": 2')
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(wrapped))
    with pytest.raises(CheckpointDamaged, match="manifest's checksum"):
        checkpoints.load(path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_older_checkpoint_and_no_temporary_file(tmp_path, monkeypatch, call):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, TREE, {})
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OutputError, match="No space left on device; what was there before is intact") as raised:
        checkpoints.save(2, TREE, {})
    assert raised.value.exit_code == 74
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert checkpoints.load(tmp_path / "step-000000001.npz").step == 1


def test_a_real_limit_on_the_size_of_files_does_the_same(tmp_path):
    """In a process of its own, because the limit is one of the process."""
    script = """
import resource, signal, sys
import numpy as np
from adiabat.engine import Checkpoints
from adiabat.errors import OutputError
checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(1, {"a": np.zeros(10)}, {})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    checkpoints.save(2, {"a": np.zeros(100_000)}, {})
except OutputError as error:
    sys.exit(error.exit_code)
"""
    assert hasattr(resource, "RLIMIT_FSIZE")
    assert hasattr(signal, "SIGXFSZ")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=os.environ, check=False)
    assert done.returncode == 74
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.npz"]
    assert Checkpoints(tmp_path).load(tmp_path / "step-000000001.npz").step == 1


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    (tmp_path / ".step-000000005.npz.123.unfinished").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(6, TREE, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000006.npz"]
