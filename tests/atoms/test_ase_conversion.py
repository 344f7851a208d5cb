"""ASE's Atoms in and out: units, constraints, results, and what a file's frames become."""

import ase
import jax
import numpy as np
import pytest
from ase import units
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixCom

from adiabat.atoms.ase_conversion import extxyz_text, from_ase, read_data, to_ase
from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batching import batch_from
from adiabat.atoms.motion import kinetic_energy
from adiabat.errors import InputError
from adiabat.io.extxyz import RawFrame
from adiabat.io.structures import UnreadableFrame, parse_extxyz


def atoms():
    rng = np.random.default_rng(0)
    made = ase.Atoms("ArHeAr", rng.normal(size=(3, 3)) * 4, cell=rng.normal(size=(3, 3)), pbc=[True, False, True])
    made.set_velocities(rng.normal(size=(3, 3)))
    made.set_masses([40.0, 4.5, 36.0])
    made.set_constraint([FixAtoms([1]), FixCom()])
    made.set_array("charge", np.array([1, -1, 0], np.int8))
    made.set_array("label", np.array(["a", "b", "c"]))
    made.info = {"pressure": 0.5, "origin": "made up", "volume": 3.0, "converged": True, "vector": [1, 2]}
    made.calc = SinglePointCalculator(
        made, energy=-1.5, forces=rng.normal(size=(3, 3)), stress=np.arange(6.0), magmoms=np.ones(3), dipole=np.ones(3)
    )
    return made


def test_velocities_are_in_angstrom_per_fs():
    made = atoms()
    data = from_ase(made)
    assert np.allclose(data.velocities, made.get_velocities() * units.fs, rtol=1e-8)
    made.set_constraint()
    batch = jax.tree.map(jax.numpy.asarray, batch_from([data.replace(fixed=[False] * 3)]))
    assert float(kinetic_energy(batch)[0]) == pytest.approx(made.get_kinetic_energy(), rel=1e-14)


def test_everything_of_ase_is_found():
    made = atoms()
    data = from_ase(made, source="a.xyz", frame=3, system_id=5)
    assert np.array_equal(data.positions, made.positions)
    assert np.array_equal(data.numbers, made.numbers)
    assert data.masses.tolist() == [40.0, 4.5, 36.0]
    assert np.array_equal(data.cell, made.cell)
    assert data.pbc.tolist() == [True, False, True]
    assert (data.fixed.tolist(), data.fixed_center) == ([False, True, False], True)
    assert data.energy == -1.5
    assert np.array_equal(data.forces, made.calc.results["forces"])
    assert data.stress.tolist() == [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
    assert (data.charge.dtype, data.charge.tolist()) == (np.int8, [1, -1, 0])
    assert data.atom_fields["magmoms"].tolist() == [1, 1, 1]
    assert data.system_fields["dipole"].tolist() == [1, 1, 1]
    assert (data.pressure, data.converged, data.vector.tolist()) == (0.5, True, [1, 2])
    assert data.converged.dtype == bool
    # What is no number, or has a name that adiabat uses itself, is kept beside.
    assert data.info["origin"] == "made up"
    assert data.info["volume"] == 3.0
    assert (data.name, data.system_id) == ("frame 3 of 'a.xyz'", 5)


def test_there_and_back_again():
    data = from_ase(atoms(), source="a.xyz", frame=3, system_id=5).replace(status=2)
    back = from_ase(to_ase(data))
    for name in ("positions", "numbers", "masses", "cell", "pbc", "fixed", "forces", "stress"):
        assert np.array_equal(getattr(back, name), getattr(data, name))
    assert np.allclose(back.velocities, data.velocities, rtol=1e-14)
    for name in ("energy", "fixed_center", "system_id", "status"):
        assert getattr(back, name) == getattr(data, name)
    for kind in ("atom_fields", "system_fields"):
        assert getattr(back, kind).keys() == getattr(data, kind).keys()
        for name, value in getattr(data, kind).items():
            assert getattr(back, kind)[name].dtype == value.dtype
            assert np.array_equal(getattr(back, kind)[name], value)
    assert back.info.keys() == data.info.keys()
    assert back.info["label"].tolist() == ["a", "b", "c"]
    assert to_ase(data).arrays["label"].tolist() == ["a", "b", "c"]


def test_a_frame_of_extxyz_holds_the_same_in_full_precision():
    data = from_ase(atoms(), source="a.xyz", frame=3, system_id=5).replace(status=2)
    text = extxyz_text(data, {"outcome": "done", "fmax": 0.25})
    back = from_ase(parse_extxyz(RawFrame(0, 0, 0, text)))
    for name in ("positions", "numbers", "masses", "cell", "pbc", "fixed", "forces", "stress"):
        assert np.array_equal(getattr(back, name), getattr(data, name))
    assert np.allclose(back.velocities, data.velocities, rtol=1e-14)
    for name in ("energy", "fixed_center", "system_id", "status"):
        assert getattr(back, name) == getattr(data, name)
    assert (back.info["outcome"], back.fmax) == ("done", 0.25)
    assert (back.info["source"], back.info["frame"]) == ("a.xyz", 3)


def test_a_calculator_is_asked_for_nothing_and_believed_only_for_these_positions():
    made = ase.Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]])
    made.calc = LennardJones()
    assert from_ase(made).energy is None
    energy = made.get_potential_energy()
    assert from_ase(made).energy == energy
    made.positions[0, 0] += 0.1
    assert from_ase(made).energy is None
    assert to_ase(from_ase(made)).calc is None


def test_other_constraints_are_refused_by_name():
    made = atoms()
    made.set_constraint(FixBondLength(0, 1))
    with pytest.raises(
        InputError, match=r"frame 2 of 'b.xyz' has the constraint FixBondLengths; .* FixAtoms and FixCom"
    ):
        from_ase(made, source="b.xyz", frame=2)
    made.set_constraint(FixCartesian(0, mask=[True, False, False]))
    with pytest.raises(InputError, match="FixCartesian"):
        from_ase(made)
    # Those that fix all of an atom or nothing are FixAtoms by another name, as files have them.
    made.set_constraint([FixCartesian(0, mask=[True] * 3), FixCartesian(1, mask=[False] * 3)])
    assert from_ase(made).fixed.tolist() == [True, False, False]


def test_a_file_becomes_checked_systems_and_named_refusals(tmp_path):
    file = tmp_path / "a.extxyz"
    good = "1\nsystem_id=7 status=3 charge=2\nHe 0 0 0\n"
    same = "2\n\nHe 0 0 0\nHe 0 0 0\n"
    partly = "1\nProperties=species:S:1:pos:R:3:move_mask:L:3\nHe 0 0 0 T F T\n"
    file.write_text(good + "1\n\nXx 0 0 0\n" + same + partly + "0\n\n" + good)
    found = list(read_data(file))
    kinds = [type(each) for each in found]
    assert kinds == [AtomicData, UnreadableFrame, UnreadableFrame, UnreadableFrame, UnreadableFrame, AtomicData]
    assert [each.index for each in found[1:5]] == [1, 2, 3, 4]
    assert "Xx" in found[1].reason
    assert found[2].reason == "it has two atoms in one place: atom 0 and atom 1 are 0.0e+00 angstrom apart"
    assert str(found[3]).endswith("it has the constraint FixCartesian; adiabat knows FixAtoms and FixCom: remove it")
    assert found[4].reason == "it has no atoms: expected at least one"
    assert found[5].name == f"frame 5 of '{file}'"
    assert found[5].charge == 2
    # Which system of which stage it was in an earlier run means nothing in a new one.
    assert (found[5].system_id, found[5].status) == (None, None)
    file.write_text(good * 2 + same)
    with pytest.raises(InputError, match=r"frame 2 of '.*a.extxyz' has two atoms in one place"):
        list(read_data(file, strict=True))


def test_words_that_have_the_names_of_numbers_stay_words():
    data = from_ase(ase.Atoms("He", info={"status": "fine", "system_id": "x1"}))
    assert (data.status, data.system_id) == (None, None)
    assert data.info == {"status": "fine", "system_id": "x1"}
