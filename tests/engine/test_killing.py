"""Processes that are killed at any moment and started again end where an undisturbed one does, to the bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from engine_toys import metrics_without_times

SCRIPT = Path(__file__).with_name("killable.py")
SOURCE = Path(__file__).parents[2] / "src"


def start(folder):
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder)], env=environment, stderr=subprocess.PIPE, text=True
    )


def wait_for_a_checkpoint(process, folder):
    """Until the first checkpoint is there, or the process has ended."""
    for _ in range(6000):
        if process.poll() is not None or list((folder / "checkpoints").glob("*.npz")):
            return
        time.sleep(0.01)
    raise TimeoutError("no checkpoint within a minute")


def disturbed(folder, seed, number, times=2):
    """Start the run, send it the signal at random moments, start it again; returns the exit codes."""
    moments, codes = random.Random(seed), []
    for _ in range(times):
        process = start(folder)
        wait_for_a_checkpoint(process, folder)
        time.sleep(moments.uniform(0.0, 0.8))
        process.send_signal(number)
        process.communicate(timeout=120)
        codes.append(process.returncode)
    process = start(folder)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return codes


def assert_same_end(folder, undisturbed):
    with np.load(folder / "final.npz") as mine, np.load(undisturbed / "final.npz") as theirs:
        assert list(mine) == list(theirs)
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])
    assert metrics_without_times(folder) == metrics_without_times(undisturbed)
    assert not [path for path in folder.rglob(".*") if "unfinished" in path.name]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return folder


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_at_a_random_moment(tmp_path, undisturbed, seed):
    disturbed(tmp_path, seed, signal.SIGKILL, times=1)
    assert_same_end(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_kill_9_at_twenty_random_moments(tmp_path, undisturbed, seed):
    disturbed(tmp_path, seed, signal.SIGKILL)
    assert_same_end(tmp_path, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_ends_with_75_and_the_run_goes_on(tmp_path, undisturbed, number):
    (code,) = disturbed(tmp_path, 5, number, times=1)
    assert code == 75
    assert_same_end(tmp_path, undisturbed)


def test_a_second_process_on_the_same_folder_is_refused(tmp_path):
    first = start(tmp_path)
    try:
        wait_for_a_checkpoint(first, tmp_path)
        second = start(tmp_path)
        _, said = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"{tmp_path} is in use by another process (pid {first.pid}" in said
    finally:
        first.kill()
        first.communicate()
