"""First positions: every nucleus has its electrons, the spins add up, the walkers are symmetric."""

import numpy as np
import pytest

from adiabat.electrons.molecule_input import molecule_from
from adiabat.electrons.starting_positions import arrange_spins, starting_positions


@pytest.mark.parametrize(
    ("name", "charge", "spin"),
    [
        ("H2", 0, 0),
        ("H2", 1, 1),
        ("O2", 0, 2),
        ("CH4", 0, 0),
        ("CH4", -1, 3),
        ("LiH", 2, 2),
        ("Fe", 3, 5),
        ("N2", 0, 14),
        ("Xe", 0, 0),
    ],
)
def test_the_spins_add_up_on_every_molecule(name, charge, spin):
    molecule = molecule_from(name, charge=charge, spin=spin)
    rng = np.random.default_rng(0)
    for _ in range(20):
        up, down = arrange_spins(molecule, rng)
        assert (up.sum(), down.sum()) == (molecule.n_up, molecule.n_down)
        assert up.min() >= 0
        assert down.min() >= 0
    x = starting_positions(molecule, 0, 5)
    assert x.shape == (5, molecule.n_electrons, 3)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()


def test_hydrogen_atoms_get_one_electron_each_both_ways_round():
    molecule = molecule_from("H 0 0 0; H 0 0 40", unit="bohr")
    x = starting_positions(molecule, 1, 4000)
    at_second = x[:, :, 2] > 20
    assert np.array_equal(at_second.sum(axis=1), np.ones(4000))
    assert 0.3 < at_second[:, 0].mean() < 0.7  # spin up sits on either atom


def test_neighbors_have_opposite_spins():
    nitrogen = molecule_from("N2")
    rng = np.random.default_rng(2)
    for _ in range(10):
        up, down = arrange_spins(nitrogen, rng)
        assert sorted((up - down).tolist()) == [-3, 3]


def test_a_charge_comes_off_the_heaviest_atom():
    molecule = molecule_from("Li 0 0 0; H 0 0 50", charge=1, unit="bohr")
    x = starting_positions(molecule, 3, 200)
    assert np.array_equal((x[:, :, 2] < 25).sum(axis=1), np.full(200, 2))
    symmetric = molecule_from("H 0 0 0; H 0 0 50", charge=1, unit="bohr")
    assert 0.3 < (starting_positions(symmetric, 4, 2000)[:, 0, 2] > 25).mean() < 0.7


def test_the_density_of_one_electron_is_that_of_its_slater_orbital():
    x = starting_positions(molecule_from("He", charge=1), 5, 100_000)[:, 0]
    radius = np.linalg.norm(x, axis=1)
    assert radius.mean() == pytest.approx(1.5 / 2, abs=0.01)  # <r> = 3 / 2Z
    assert (radius**2).mean() == pytest.approx(3 / 4, abs=0.02)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=0.01)


def test_inner_electrons_are_inside():
    x = starting_positions(molecule_from("Be"), 6, 20_000)
    radius = np.linalg.norm(x, axis=-1).mean(axis=0)
    assert radius[0] == pytest.approx(radius[2], rel=0.05)  # one core and one valence electron of each spin
    assert radius[0] < 0.6
    assert radius[1] > 2.0


def test_the_seed_decides():
    molecule = molecule_from("LiH")
    assert np.array_equal(starting_positions(molecule, 7, 50), starting_positions(molecule, 7, 50))
    assert not np.array_equal(starting_positions(molecule, 7, 50), starting_positions(molecule, 8, 50))
    assert np.array_equal(starting_positions(molecule, [1, 2], 3), starting_positions(molecule, (1, 2), 3))
