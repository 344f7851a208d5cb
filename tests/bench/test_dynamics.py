"""The contest in batched dynamics, with few systems; ASE, which is installed here, stands for all other programs."""

import math
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones

from bench.dynamics import contest, measure, tasks
from bench.dynamics.environments import PEERS, NotInstalled, interpreter, version
from bench.dynamics.programs.served import Inputs


def test_every_program_gets_the_same_numbers(tmp_path):
    for inputs in (tasks.boxes(2), tasks.clusters(3), tasks.crystal((2, 2, 3))):
        tasks.write(inputs, tmp_path / "inputs.npz")
        read = Inputs.read(str(tmp_path / "inputs.npz"))
        assert vars(read).keys() == vars(inputs).keys()
        for name, value in vars(inputs).items():
            np.testing.assert_array_equal(getattr(read, name), value)


def test_the_tasks_are_those_that_were_set():
    boxes, clusters, crystal = tasks.boxes(), tasks.clusters(), tasks.crystal((8, 8, 8))
    assert boxes.sizes.tolist() == [32] * 64
    assert boxes.periodic
    assert 2 * boxes.cutoff < boxes.cells[0, 0, 0]
    assert len(clusters.sizes) == 200
    assert (clusters.sizes.min(), clusters.sizes.max()) == (8, 40)
    assert not clusters.periodic
    assert crystal.sizes.tolist() == [2048]
    assert crystal.cutoff == 8.5
    for inputs in (boxes, crystal):
        for velocities in inputs.split(inputs.velocities):
            np.testing.assert_allclose(velocities.mean(axis=0), 0.0, atol=1e-15)


def test_energies_of_minima_are_those_of_ase():
    inputs = tasks.clusters(4)
    expected = []
    for positions in inputs.split(inputs.positions):
        atoms = Atoms(f"Ar{len(positions)}", positions)
        atoms.calc = LennardJones(sigma=inputs.sigma, epsilon=inputs.epsilon, rc=1e4, smooth=False)
        expected.append(atoms.get_potential_energy())
    np.testing.assert_allclose(tasks.energies(inputs, inputs.positions), expected, rtol=1e-10)


def test_ratios_are_of_the_rounds_that_both_did():
    ours = contest.Record(seconds={0: 1.0, 1: 2.0, 2: 4.0})
    records = {"adiabat": ours, "ase": contest.Record(seconds={0: 10.0, 1: 20.0})}
    assert contest.ratio(records, "ase") == 10.0


def test_versions_are_pinned():
    assert all("==" in word for peer in PEERS.values() for packages in peer.packages for word in packages)
    assert version("ase") == PEERS["ase"].packages[0][0].removeprefix("ase==")


def test_what_does_not_install_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.dynamics.environments.FOLDER", tmp_path)
    monkeypatch.setattr("bench.dynamics.environments._run", lambda *command: "no such version")
    with pytest.raises(NotInstalled, match="ASE does not install: no such version"):
        interpreter("ase")
    assert not any(tmp_path.iterdir())


def only_ase(name):
    if name != "ase":
        raise NotInstalled("it is not to be had")
    return sys.executable


@pytest.mark.slow
def test_programs_take_turns_and_one_that_is_not_there_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(contest, "interpreter", only_ase)
    steps = {"ase": 1, "torch_sim": 1, "adiabat": 2}
    rows = measure.measure_boxes(tmp_path, tasks.boxes(2), steps, rounds=1, patience=100.0)
    found = {row.what.split()[0]: row for row in rows if not row.what.startswith("times")}
    assert not any(row.missed for row in rows)
    assert math.isnan(found["TorchSim"].value)
    assert "left out: it is not to be had" in found["TorchSim"].remark
    assert "unlike ASE's" in found["adiabat"].remark
    assert [row.what for row in rows if row.what.startswith("times")] == ["times ASE"]


@pytest.mark.slow
def test_clusters_end_in_the_minima_of_ase(tmp_path, monkeypatch):
    monkeypatch.setattr(contest, "interpreter", only_ase)
    inputs = tasks.clusters(3)
    rows = measure.measure_clusters(tmp_path, inputs, ("ase", "adiabat"), rounds=0, patience=0.0, vary=False)
    (row,) = (row for row in rows if row.what.startswith("minima"))
    assert row.value == row.floor == 3
