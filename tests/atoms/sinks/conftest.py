"""Every kind of sink, by one fixture; and `sink_systems.py` importable, here and in the processes that tests start."""

import sys
from pathlib import Path

import pytest

from adiabat.atoms.sinks import ASESink, HDF5Sink, MemorySink

sys.path.insert(0, str(Path(__file__).resolve().parent))

KINDS = {
    "memory": lambda folder, **given: MemorySink(**given),
    "hdf5": lambda folder, **given: HDF5Sink(folder / "done.h5", **given),
    "extxyz": lambda folder, **given: ASESink(folder / "done.xyz", **given),
    "traj": lambda folder, **given: ASESink(folder / "done.traj", **given),
}


@pytest.fixture(params=KINDS)
def make_sink(request, tmp_path):
    """Makes a sink of one kind, each time on the same file."""
    return lambda **given: KINDS[request.param](tmp_path, **given)


@pytest.fixture(params=[kind for kind in KINDS if kind != "memory"])
def make_file_sink(request, tmp_path):
    """The same for those that have a file."""
    return lambda **given: KINDS[request.param](tmp_path, **given)
