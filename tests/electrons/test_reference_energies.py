"""The table of reference energies finds a molecule by its geometry."""

import numpy as np
import pytest

from adiabat.electrons.molecule import Molecule
from adiabat.electrons.molecule_input import molecule_from
from adiabat.electrons.reference_energies import reference_energy


@pytest.mark.parametrize(
    ("name", "exact", "hartree_fock"),
    [
        ("H", -0.5, -0.5),
        ("He", -2.903724377034, -2.86168),
        ("Li", -7.47806032, -7.43275),
        ("Be", -14.66736, -14.57301),
        ("N", -54.5892, -54.40470),
        ("H2", -1.174475714, -1.13362),
        ("LiH", -8.070548, -7.98737),
        ("N2", -109.5423, -108.9940),
        ("NH3", -56.5644, -56.2247),
        ("CH4", -40.515, -40.2171),
    ],
)
def test_every_molecule_of_the_table_is_found_by_name(name, exact, hartree_fock):
    found = reference_energy(molecule_from(name))
    assert (found.exact, found.hartree_fock) == (exact, hartree_fock)
    assert found.source


@pytest.mark.parametrize(
    ("distance", "exact"),
    [(1.0, -1.124539719), (1.6, -1.168583373), (2.0, -1.138132957), (4.0, -1.016390253)],
)
def test_the_hydrogen_curve_is_found_at_its_distances(distance, exact):
    molecule = molecule_from(f"H 0 0 0; H {distance} 0 0", unit="bohr")
    assert reference_energy(molecule).exact == exact
    assert reference_energy(molecule_from(f"H 0 0 0; H {distance + 1e-4} 0 0", unit="bohr")) is None


def test_a_turned_shifted_and_renumbered_molecule_is_the_same():
    rng = np.random.default_rng(3)
    ammonia = molecule_from("NH3")
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = [2, 0, 3, 1]
    moved = Molecule(
        tuple(ammonia.symbols[index] for index in order),
        (ammonia.positions @ turn + rng.normal(size=3))[order],
    )
    assert reference_energy(moved) == reference_energy(ammonia)


def test_another_geometry_charge_spin_or_element_is_not_in_the_table():
    lih = molecule_from("LiH")
    assert reference_energy(Molecule(lih.symbols, lih.positions * 1.00001)) is None
    assert reference_energy(Molecule(lih.symbols, lih.positions, charge=2)) is None
    assert reference_energy(Molecule(lih.symbols, lih.positions, spin=2)) is None
    assert reference_energy(molecule_from("H2", spin=2)) is None
    assert reference_energy(molecule_from("N", spin=1)) is None
    assert reference_energy(Molecule(("B", "H"), lih.positions)) is None


def test_hydrogenic_ions_have_the_closed_form():
    assert reference_energy(molecule_from("Be", charge=3)).exact == -8.0


def test_estimates_are_not_floors():
    assert reference_energy(molecule_from("LiH")).is_floor
    assert not reference_energy(molecule_from("CH4")).is_floor
