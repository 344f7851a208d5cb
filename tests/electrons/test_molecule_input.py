"""What a user can write for a molecule, and what comes of it."""

import numpy as np
import pytest

from adiabat.electrons.molecule_input import molecule_from
from adiabat.errors import InputError
from adiabat.units import ANGSTROM_PER_BOHR

XYZ = "2\nlithium hydride\nLi 0 0 0\nH 0 0 1.6\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_coordinates_are_in_angstrom_unless_bohr_is_said():
    angstrom = molecule_from("H 0 0 0; H 0 0 1.4")
    bohr = molecule_from("H 0 0 0; H 0 0 1.4", unit="bohr")
    assert angstrom.distances[0, 1] == pytest.approx(1.4 / ANGSTROM_PER_BOHR, rel=1e-15)
    assert bohr.distances[0, 1] == 1.4
    assert "given in angstrom" in angstrom.source
    assert bohr.source == "H2 at R = 1.4 bohr, coordinates given in bohr; charge 0, 2S = 0 (its known ground state)"


@pytest.mark.parametrize(
    "text", ["li 0 0 0\nH 0 0 3.015\n", "  LI 0,0,0 ; h 0. 0e0 +3.015;", "Li\t0 0 0\n\nH 0 0 3.015"]
)
def test_coordinates_may_be_written_in_several_ways(text):
    assert molecule_from(text, unit="bohr") == molecule_from("Li 0 0 0; H 0 0 3.015", unit="Bohr")


@pytest.mark.parametrize(
    ("name", "distance", "words"),
    [
        ("H2", 1.4, "reference geometry"),
        ("LiH", 3.015, r"reference geometry (Cencek and Rychlewski 2000)"),
        ("N2", 2.068, "reference geometry"),
        ("C2", 1.2425 / ANGSTROM_PER_BOHR, "experimental distance (Huber and Herzberg 1979)"),
    ],
)
def test_diatomics_by_name_have_the_distance_the_log_states(name, distance, words):
    molecule = molecule_from(name)
    assert molecule.distances[0, 1] == pytest.approx(distance, abs=1e-12)
    assert molecule.source.startswith(f"{name} at R = {distance:.6g} bohr, ")
    assert words in molecule.source


def test_ammonia_and_methane_are_exactly_the_reference_geometries():
    ammonia = molecule_from("NH3")
    assert ammonia.symbols == ("N", "H", "H", "H")
    assert np.array_equal(
        ammonia.positions,
        [
            [0, 0, 0.22013],
            [0, 1.77583, -0.51364],
            [1.53791, -0.88791, -0.51364],
            [-1.53791, -0.88791, -0.51364],
        ],
    )
    methane = molecule_from("CH4")
    assert np.array_equal(np.abs(methane.positions[1:]), np.full((4, 3), 1.18886))
    hydrogens = methane.distances[1:, 1:][np.triu_indices(4, k=1)]
    assert np.allclose(hydrogens, hydrogens[0], atol=1e-14)  # a tetrahedron, not four corners of a square


def test_a_name_of_the_g2_collection_says_so():
    water = molecule_from("H2O")
    assert water.symbols == ("O", "H", "H")
    assert "G2" in water.source
    assert water.distances[0, 1] * ANGSTROM_PER_BOHR == pytest.approx(0.9688, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("lih", "LiH"),
        ("LIH", "LiH"),
        ("water", "H2O"),
        ("Carbon  Dioxide", "CO2"),
        ("methane", "CH4"),
        ("be", "Be"),
        ("beryllium", "Be"),
        ("CO", "CO"),
        ("Co", "Co"),
        ("PO", "PO"),
        ("n2", "N2"),
        ("SIH4", "SiH4"),
        ("H2S", "SH2"),
    ],
)
def test_case_does_not_matter_where_it_does_not_decide(text, name):
    assert molecule_from(text).name == name


@pytest.mark.parametrize(
    ("text", "charge", "spin"),
    [
        ("H", 0, 1),
        ("N", 0, 3),
        ("Cr", 0, 6),
        ("Fe", 0, 4),
        ("Kr", 0, 0),
        ("Be", 1, 1),
        ("O", -1, 1),
        ("N", 1, 2),
        ("O2", 0, 2),
        ("B2", 0, 2),
        ("C2", 0, 0),
        ("NO", 0, 1),
        ("NO", -1, 2),
        ("OH", 1, 2),
        ("H2", 1, 1),
        ("H 0 0 0; N 0 0 1", 0, 2),
        ("CH2", 0, 2),
        ("CH3", 0, 1),
        ("CH3", 1, 0),
        ("NO2", 0, 1),
    ],
)
def test_the_spin_is_that_of_the_known_ground_state(text, charge, spin):
    assert molecule_from(text, charge=charge).spin == spin


def test_the_log_tells_a_known_spin_from_a_guessed_and_a_given_one():
    assert "2S = 2 (its known ground state)" in molecule_from("O2").source
    assert (
        "2S = 0 (the lowest that fits the electrons; --spin sets another)"
        in molecule_from("O 0 0 0; O 0 0 1.3; O 0 1.2 1.3").source
    )
    assert "charge -1, 2S = 3 (as given)" in molecule_from("O2", charge=-1, spin=3).source


def test_a_file_is_read_in_angstrom_or_as_told(folder):
    (folder / "lih.xyz").write_text(XYZ)
    from_file = molecule_from("lih.xyz")
    assert from_file.name == "lih"
    assert from_file.distances[0, 1] == pytest.approx(1.6 / ANGSTROM_PER_BOHR)
    assert "from lih.xyz in angstrom" in from_file.source
    assert molecule_from(folder / "lih.xyz", unit="bohr").distances[0, 1] == pytest.approx(1.6)


def test_of_several_frames_the_last_counts_and_the_log_says_so(folder):
    (folder / "path.xyz").write_text(XYZ + XYZ.replace("1.6", "1.7"))
    molecule = molecule_from("path.xyz")
    assert molecule.distances[0, 1] == pytest.approx(1.7 / ANGSTROM_PER_BOHR)
    assert "the last of its 2 frames" in molecule.source


def test_a_file_comes_before_a_name_but_a_folder_does_not(folder):
    (folder / "LiH").mkdir()
    assert "reference geometry" in molecule_from("LiH").source
    (folder / "H2").write_text(XYZ)
    assert "from H2 in angstrom" in molecule_from("H2").source


def test_a_unit_that_contradicts_the_format_is_refused(folder):
    (folder / "w.gen").write_text("1 C\nHe\n1 1 0.0 0.0 0.0\n")
    assert molecule_from("w.gen").symbols == ("He",)
    with pytest.raises(InputError, match="a unit of its own: leave --unit out"):
        molecule_from("w.gen", unit="bohr")


def test_a_periodic_file_is_refused(folder):
    (folder / "c.xyz").write_text(
        '1\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T F"\nH 0 0 0\n'
    )
    with pytest.raises(InputError, match=r"is periodic \(pbc T T F\): only isolated molecules"):
        molecule_from("c.xyz")


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", {}, "no molecule given"),
        (" ; ;\n", {}, "no atoms"),
        ("LiHH", {}, "unknown molecule 'LiHH', did you mean 'LiH'"),
        ("watr", {}, "unknown molecule 'watr', did you mean 'water'"),
        ("xyzzy", {}, "unknown molecule 'xyzzy': expected"),
        ("x" * 5000, {}, "unknown molecule 'x{60}...'"),
        ("a\0b", {}, "unknown molecule"),
        ("co", {}, "'co' can mean 'CO' or 'Co'"),
        ("nitrogen", {}, "'nitrogen' can mean 'N' or 'N2'"),
        ("He+", {}, "'He' with --charge \\+1"),
        ("Q 0 0 0", {}, "unknown element 'Q' in 'Q 0 0 0'"),
        ("H 0 0 0; H 0 0", {}, "'H 0 0' not understood: expected 'symbol x y z'"),
        ("H 0 0 0 H 0 0 1", {}, "not understood"),
        ("H 0 0 zero", {}, "'H 0 0 zero' not understood"),
        ("H 0 0 nan", {}, "coordinates must be finite"),
        ("H 0 0 0; H 0 0 0.05", {}, "0.0945 bohr apart"),
        ("H 0 0 0", {"unit": "angstroms"}, "unknown unit 'angstroms', did you mean 'angstrom'"),
        ("H2O", {"charge": 10}, "leaves no electrons"),
        ("H2", {"spin": 1}, "does not fit 2 electrons"),
        ("H2", {"spin": 4}, "does not fit 2 electrons"),
        ("lih.xyz", {}, "file 'lih.xyz' does not exist, did you mean 'lih_.xyz'"),
        ("nowhere/lih", {}, "does not exist"),
        ("some_folder", {}, "is a directory"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(folder, text, settings, message):
    (folder / "lih_.xyz").write_text(XYZ)
    (folder / "some_folder").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        molecule_from(text, **settings)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
