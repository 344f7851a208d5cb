"""One system: what it holds, and which nonsense it refuses."""

import numpy as np
import pytest

from adiabat.atoms.atomic_data import AtomicData
from adiabat.errors import InputError

DIMER = [[0.0, 0.0, 0.0], [0.0, 0.0, 3.8]]


def system(positions=DIMER, **given) -> AtomicData:
    given.setdefault("info", {"source": "a.xyz", "frame": 4})
    return AtomicData(positions, [18] * len(positions), **given)


def test_arrays_are_copies_of_the_stated_types():
    positions = np.array(DIMER, np.float32)
    data = AtomicData(positions, np.array([18, 18], np.int64), pbc=True, cell=np.eye(3, dtype=int) * 9, energy=1)
    positions[0] = 7
    assert data.positions[0, 0] == 0
    assert (data.positions.dtype, data.numbers.dtype, data.pbc.dtype) == (np.float64, np.int32, bool)
    assert data.pbc.tolist() == [True] * 3
    assert data.masses == pytest.approx([39.948, 39.948], abs=0.01)
    assert (data.velocities.shape, data.fixed.tolist(), data.fixed_center) == ((2, 3), [False, False], False)
    assert (data.energy, data.forces, data.stress, data.system_id) == (1.0, None, None, None)


def test_own_fields_are_attributes_and_can_be_replaced():
    data = system(atom_fields={"charge": [1, -1]}, system_fields={"pressure": np.float32(2)})
    assert data.charge.tolist() == [1, -1]
    assert data.pressure.dtype == np.float32
    changed = data.replace(charge=[0.5, 0.5], system_id=3)
    assert changed.charge.tolist() == [0.5, 0.5]
    assert (changed.system_id, data.charge.tolist()) == (3, [1, -1])
    with pytest.raises(AttributeError, match="spin"):
        data.replace(spin=1)
    with pytest.raises(AttributeError, match="spin"):
        _ = data.spin


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"velocities": [[0.0, 0, 0]]}, r"velocities of frame 4 of 'a.xyz' have the shape \(1, 3\)"),
        ({"positions": [[0.0, 0]]}, "positions of frame 4 of 'a.xyz' have the shape"),
        ({"cell": [1.0, 2, 3]}, "cell of frame 4"),
        ({"masses": ["a", "b"]}, "masses of frame 4 of 'a.xyz' are no array of numbers"),
        ({"atom_fields": {"charge": [1.0]}}, "'charge' of frame 4 of 'a.xyz' has 1 rows for 2 atoms"),
        ({"atom_fields": {"label": ["a", "b"]}}, "'label' .* is no array of numbers"),
        ({"system_fields": {"volume": 3.0}}, "called 'volume'"),
        ({"system_fields": {"energy": 3.0}}, "called 'energy'"),
        ({"system_fields": {"stress": 3.0}}, "called 'stress'"),
    ],
)
def test_what_has_the_wrong_form_is_refused_by_name(given, message):
    with pytest.raises(InputError, match=message):
        system(**given)


def test_numbers_must_be_integers():
    with pytest.raises(InputError, match="float64"):
        AtomicData(DIMER, [18.5, 18])


CUBE = np.eye(3) * 9
SLAB = {"cell": np.diag([9.0, 9.0, 0.0]), "pbc": [True, True, False]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"positions": []}, "has no atoms"),
        ({"positions": [[0, 0, 0], [0, np.nan, 0]]}, r"the position of atom 1 is \[ 0. nan  0.\]"),
        ({"velocities": [[0, 0, 0], [0, np.inf, 0]]}, "the velocity of atom 1"),
        ({"masses": [1.0, 0.0]}, r"mass 0.0 amu \(atom 1\)"),
        ({"cell": CUBE * np.nan}, "cell that is not finite"),
        ({"pbc": True}, "is periodic and has no cell"),
        ({"pbc": True, "cell": np.diag([9.0, 9.0, 0.0])}, "lattice vector 2, whose length is 0"),
        ({"pbc": True, "cell": [[9.0, 0, 0], [0, 9.0, 0], [5.0, 5.0, 1e-8]]}, "cell without volume"),
        ({"positions": [[1, 2, 3], [1, 2, 3 + 1e-9]]}, "atom 0 and atom 1 are 1.0e-09 angstrom apart"),
        ({"positions": [[1, 2, 0], [1, 2, 9 - 1e-5]], "pbc": True, "cell": CUBE}, "atom 0 and atom 1 of a periodic"),
        ({"positions": [[0, 0, 0], [9, 18, -27]], "pbc": True, "cell": CUBE}, "of a periodic image are 0.0e"),
        ({"positions": [[1e-5, 9, 5], [9, 1e-5, 5]], **SLAB}, "of a periodic image"),
    ],
)
def test_nonsense_is_refused_with_the_name_of_the_structure(given, message):
    data = system(**given)
    with pytest.raises(InputError, match=message) as caught:
        data.check()
    assert str(caught.value).startswith("frame 4 of 'a.xyz' ")
    assert "\n" not in str(caught.value)


def test_dummy_atoms_are_refused():
    with pytest.raises(InputError, match=r"atom of number 0 \(atom 1\)"):
        AtomicData(DIMER, [18, 0]).check()
    with pytest.raises(InputError, match="atom of number 119"):
        AtomicData(DIMER, [119, 18]).check()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"pbc": True, "cell": CUBE[::-1]},  # left-handed
        {"pbc": True, "cell": [[9.0, 0, 0], [8.9, 1.0, 0], [0, 0, 9.0]]},  # very skew
        SLAB,
        {"positions": [[0, 0, 0.0], [0, 0, 9.0]], **SLAB},  # an image along what does not repeat
        {"cell": np.zeros((3, 3))},
    ],
)
def test_unusual_but_sensible_systems_pass(given):
    system(**given).check()


def test_coincidence_agrees_with_a_search_over_all_images():
    """Rattled copies of an atom somewhere in a skew lattice, some within the limit of each other and some not."""
    rng = np.random.default_rng(0)
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3)
    seen = set()
    for _ in range(60):
        cell = np.diag([5.0, 6.0, 7.0]) + rng.normal(size=(3, 3))
        place = np.round(rng.random(3), 0) @ cell  # in a corner, where faces meet
        positions = place + rng.normal(scale=4e-4, size=(2, 3)) + rng.integers(-2, 3, (2, 3)) @ cell
        apart = (positions[0] - positions[1]) @ np.linalg.inv(cell)
        distance = np.linalg.norm((apart - np.round(apart) + shifts) @ cell, axis=1).min()
        expected = distance < 1e-3
        seen.add(bool(expected))
        data = AtomicData(positions, [18, 18], cell=cell, pbc=True)
        if expected:
            with pytest.raises(InputError, match="in one place"):
                data.check()
        else:
            data.check()
    assert seen == {True, False}


def test_a_structure_without_a_source_is_named_by_its_index():
    with pytest.raises(InputError, match=r"^structure 7 has no atoms"):
        AtomicData([], [], system_id=7).check()


def test_repr_is_readable():
    assert repr(AtomicData(DIMER, [18, 1], system_id=2)) == "AtomicData(HAr, structure 2)"
