"""The Coulomb energy of given electrons, and the length scale of their surroundings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons.hamiltonian import CoulombPotential, NuclearScale
from adiabat.electrons.molecule import Molecule

HYDROGEN = Molecule(("H",), np.zeros((1, 3)), spin=1)
BENT = Molecule(("O", "H", "H"), np.array([[0, 0, 0], [1.4, 1.1, 0], [-1.4, 1.1, 0.2]]))


@pytest.mark.parametrize("molecule", [HYDROGEN, BENT], ids=["H", "H2O"])
def test_it_is_the_sum_over_all_pairs_of_charges(molecule):
    x = np.random.default_rng(0).standard_normal((molecule.n_electrons, 3))
    places, charges = np.concatenate([molecule.positions, x]), [*molecule.numbers, *[-1] * len(x)]
    expected = sum(
        charges[i] * charges[j] / np.linalg.norm(places[i] - places[j]) for i in range(len(places)) for j in range(i)
    )
    with jax.enable_x64(True):
        assert float(CoulombPotential(molecule)(jnp.asarray(x))) == pytest.approx(expected, rel=1e-13)


def test_the_precision_is_that_of_the_walker():
    with jax.enable_x64(True):
        for dtype in (np.float32, np.float64):
            x = jnp.ones((10, 3), dtype) * jnp.arange(10, dtype=dtype)[:, None]
            assert CoulombPotential(BENT)(x + 0.1).dtype == NuclearScale(BENT)(x).dtype == dtype


def test_moves_are_short_near_a_nucleus_and_shortest_near_a_heavy_one():
    scale = NuclearScale(BENT)
    at_nuclei = np.asarray(scale(jnp.asarray(BENT.positions, jnp.float32)))
    assert at_nuclei[0] == pytest.approx(0.3 / 8, rel=0.1)
    assert at_nuclei[1] == pytest.approx(0.3, rel=0.3)
    assert at_nuclei[0] < at_nuclei[1]
    far = scale(jnp.array([[0.0, 0.0, 30.0]]))
    assert float(far[0]) == pytest.approx(30 / 3, rel=0.01)


def test_the_scale_of_an_electron_knows_only_where_it_is():
    """Moves of single electrons rely on that."""
    scale, x = NuclearScale(BENT), jnp.asarray(np.random.default_rng(1).standard_normal((5, 10, 3)))
    moved = scale(x.at[:, 0].add(1.0))
    assert moved.shape == (5, 10)
    np.testing.assert_array_equal(moved[:, 1:], scale(x)[:, 1:])
    assert np.all(moved[:, 0] != scale(x)[:, 0])
