"""Molecules: what they know of their electrons, and what they refuse."""

import dataclasses

import numpy as np
import pytest

from adiabat.electrons.molecule import Molecule
from adiabat.errors import InputError

LIH = (("Li", "H"), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 3.015]]))


def test_electrons_are_shared_out_by_charge_and_spin():
    triplet_cation = Molecule(("O", "H"), np.array([[0.0, 0, 0], [0, 0, 1.9]]), charge=1, spin=2)
    assert (triplet_cation.n_electrons, triplet_cation.n_up, triplet_cation.n_down) == (8, 5, 3)


def test_nuclear_repulsion_sums_all_pairs():
    line = Molecule(("He", "H", "H"), np.array([[0.0, 0, 0], [0, 0, 2], [0, 0, 5]]))
    assert line.nuclear_repulsion == pytest.approx(2 / 2 + 2 / 5 + 1 / 3, abs=1e-15)
    assert Molecule(("Be",), np.zeros((1, 3))).nuclear_repulsion == 0.0


def test_equality_and_hash_are_those_of_the_physics():
    molecule = Molecule(*LIH, name="a")
    assert molecule == Molecule(*LIH, name="b", source="elsewhere")
    assert hash(molecule) == hash(Molecule(*LIH))
    assert hash(molecule) == hash(Molecule(LIH[0], LIH[1] * np.array([-1, -1, 1])))  # -0.0 is 0.0
    assert molecule != Molecule(*LIH, charge=2)
    assert molecule != Molecule(*LIH, spin=2)
    assert molecule != Molecule(LIH[0], LIH[1] * (1 + 1e-15))


def test_nothing_of_a_molecule_can_be_changed():
    molecule = Molecule(*LIH)
    with pytest.raises(dataclasses.FrozenInstanceError):
        molecule.charge = 1
    for array in (molecule.positions, molecule.numbers):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    given = LIH[1].copy()
    kept = Molecule(LIH[0], given)
    given[0] = 7.0
    assert kept == molecule


@pytest.mark.parametrize(
    ("symbols", "positions", "charge", "spin", "message"),
    [
        ((), np.zeros((0, 3)), 0, 0, "no atoms"),
        (("Xx",), np.zeros((1, 3)), 0, 0, "unknown element 'Xx'"),
        (("H",), np.zeros((2, 3)), 0, 1, r"shape \(2, 3\) given for 1 atoms"),
        (("H",), np.array([[0.0, np.inf, 0.0]]), 0, 1, r"atom 1 \(H\) is at \(0, inf, 0\)"),
        (
            ("H", "He"),
            np.array([[0.0, 0, 0], [0, 0, 0.0999]]),
            0,
            1,
            r"atoms 1 \(H\) and 2 \(He\) are 0.0999 bohr",
        ),
        (*LIH, 4, 0, "charge 4 leaves no electrons: the nuclei carry 4, so it can be at most 3"),
        (*LIH, 0, 1, "spin 1 .* does not fit 4 electrons: it can be 0, 2, 4"),
        (*LIH, 0, 6, "spin 6 .* does not fit 4 electrons"),
        (*LIH, 0, -2, "spin -2 .* does not fit 4 electrons"),
        (*LIH, 3, 0, "spin 0 .* does not fit 1 electron: it can be 1$"),
    ],
)
def test_what_cannot_be_computed_is_refused_in_a_sentence(symbols, positions, charge, spin, message):
    with pytest.raises(InputError, match=message):
        Molecule(symbols, positions, charge, spin)


def test_nuclei_at_the_limit_are_accepted():
    assert Molecule(("H", "H"), np.array([[0.0, 0, 0], [0, 0, 0.1001]])).n_atoms == 2
