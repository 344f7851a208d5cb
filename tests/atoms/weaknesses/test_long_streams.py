"""Streams that are long, and streams that are killed: memory stays what it was, and each system comes out once."""

import gc
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toy_potentials import Springs
from weak_systems import streamed

from adiabat.atoms import FIRE, ASESink, AtomicData, ConvergenceHook, HDF5Sink
from adiabat.engine import HookStageEnum

SCRIPT = Path(__file__).with_name("killable_stream.py")
SOURCE = Path(__file__).parents[3] / "src"


# --- many ---------------------------------------------------------------------------------------------------


class DataSet:
    """Clusters that are made when they are asked for."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def get_metadata(self, index):
        return 3 + index % 4, 0

    def __getitem__(self, index):
        n = 3 + index % 4
        return AtomicData(np.random.default_rng(index).normal(size=(n, 3)), [1, 4, 1, 4, 1, 4][:n])


class Memory:
    """Resident megabytes by the number of systems that have ended."""

    stage, frequency = HookStageEnum.AFTER_STEP, 25

    def __init__(self):
        self.seen = {}

    def __call__(self, batch, dynamics):
        ended = int(np.count_nonzero(dynamics.in_flight.ledger.outcome >= 2)) // 1000
        if ended not in self.seen:
            gc.collect()
            with open("/proc/self/statm") as file:
                self.seen[ended] = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
def test_ten_thousand_clusters_stream_through_64_slots_in_constant_memory(tmp_path):
    memory, n = Memory(), 10_000
    with HDF5Sink(tmp_path / "found.h5") as sink:
        relax = FIRE(Springs(), convergence_hook=ConvergenceHook.from_fmax(0.05), n_steps=400)
        fused, _ = streamed([(0, relax)], DataSet(n), 64, [sink], hooks=[memory])
    counts = fused.ledger.counts
    assert counts["done"] + counts["unfinished"] == n
    assert sorted(HDF5Sink(tmp_path / "found.h5").system_ids) == list(range(n))
    print({k: round(v) for k, v in memory.seen.items()})
    last = max(memory.seen)
    assert last >= 9
    # 8000 clusters more, of which a list in memory alone would take 20 MB: at most what waits for the file.
    assert memory.seen[last] - memory.seen[2] < 12.0


# --- killed -------------------------------------------------------------------------------------------------


def start(folder, kind):
    folder.mkdir(exist_ok=True)
    paths = [str(SOURCE), str(SCRIPT.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), kind], env=environment, stderr=subprocess.PIPE, text=True
    )


def records(folder, kind):
    """All systems of the results, by their id, to the bit."""
    sink = (ASESink if kind == "extxyz" else HDF5Sink)(folder / f"final.{kind}")
    assert len(sink) == len(set(sink.system_ids))
    found = {}
    for data in sink:
        words = {**data.info, **data.system_fields}
        found[data.system_id] = (data.positions.tobytes(), data.velocities.tobytes(), data.energy, int(words["steps"]))
    return found


@pytest.fixture(scope="module", params=["extxyz", "h5"])
def undisturbed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder, request.param)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    found = records(folder, request.param)
    assert sorted(found) == list(range(60))
    return request.param, found


@pytest.mark.slow
def test_kill_9_at_twenty_random_moments(tmp_path, undisturbed):
    """The same command goes on, and the results are those of the run that nobody killed, system by system."""
    kind, expected = undisturbed
    moments, kills, folder = random.Random(kind), 0, tmp_path / "run"
    begun = 0
    while not (folder / "done").exists():
        process = start(folder, kind)
        if kills < 20:
            wait_for_news(process, folder)
            time.sleep(moments.uniform(0.0, 0.15))
            if process.poll() is None:
                process.kill()
                kills += 1
            process.communicate()
        else:
            _, said = process.communicate(timeout=300)
            assert process.returncode == 0, said
        begun += 1
    assert kills >= 10
    assert records(folder, kind) == expected
    print(f"{kills} kills of {begun} runs")


def wait_for_news(process, folder):
    """Until the process has written a checkpoint, or ended."""

    def newest():
        return max((path.stat().st_mtime_ns for path in (folder / "checkpoints").glob("*.npz")), default=0)

    before = newest()
    for _ in range(12000):
        if process.poll() is not None or newest() > before:
            return
        time.sleep(0.01)
    raise TimeoutError("no checkpoint within two minutes")
