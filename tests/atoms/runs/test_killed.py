"""A run of structures that is killed again and again ends with the files of one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from records import frames, logged

SOURCE = Path(__file__).resolve().parents[3] / "src"
KILLS = 20
FILES = ("results.csv", "final.extxyz")


def many_clusters(path, n=400):
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(n):
        size = int(rng.integers(4, 16))
        grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)
        places = grid[rng.permutation(len(grid))[:size]] * 4.0
        frames.append(Atoms(f"Ar{size}", places + rng.normal(scale=0.2, size=places.shape)))
    write(path, frames)


def started(folder, structures, chain):
    command = [sys.executable, "-m", "adiabat", "relax", str(structures), "--config", str(chain), "-q"]
    return subprocess.Popen([*command, "--out", str(folder)], env={**os.environ, "PYTHONPATH": str(SOURCE)})


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path):
    structures, chain = tmp_path / "clusters.extxyz", tmp_path / "chain.yaml"
    many_clusters(structures)
    chain.write_text(
        "potential: lennard-jones\n"
        "stages:\n"
        "  - {kind: fire, fmax: 0.01, n_steps: 500}\n"
        "  - {kind: nvt-langevin, temperature: 20, n_steps: 100}\n"
        "  - {kind: fire, fmax: 0.001, n_steps: 1000}\n"
        "batch: {max_batch_size: 16}\n"
        "record: {save_time_interval: 0.2, trajectory_interval: 50}\n"
    )
    assert started(tmp_path / "whole", structures, chain).wait() == 0
    begun = time.monotonic()
    assert started(tmp_path / "timed", structures, chain).wait() == 0
    longest = time.monotonic() - begun  # with everything compiled
    moments, kills, runs = random.Random(0), 0, 0
    while kills < KILLS:
        runs += 1
        folder = tmp_path / f"killed-{runs}"
        while True:
            process = started(folder, structures, chain)
            try:
                code = process.wait(timeout=moments.uniform(0.0, longest) if kills < KILLS else None)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                continue
            assert code == 0
            break
        for name in FILES:
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), (runs, kills, name)
        for read, name in ((logged, "metrics/16-atoms.csv"), (frames, "trajectories/16-atoms.extxyz")):
            assert read(folder / name) == read(tmp_path / "whole" / name), (runs, kills, name)
    assert kills == KILLS
