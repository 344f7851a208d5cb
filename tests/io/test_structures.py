"""Structure files through ASE: what is read, and what a broken file answers."""

import numpy as np
import pytest

from adiabat.errors import InputError
from adiabat.io.structures import read_structure

FRAME = "2\n\nLi 0 0 0\nH 0.5 -1 1.6\n"


def test_the_last_frame_is_read_with_its_atoms(tmp_path):
    file = tmp_path / "a@1.xyz"  # '@' is a letter of the name
    file.write_text(FRAME * 2 + "1\n\nHe 1 2 3\n")
    structure = read_structure(file)
    assert structure.symbols == ("He",)
    assert np.array_equal(structure.positions, [[1.0, 2.0, 3.0]])
    assert structure.positions.dtype == np.float64
    assert (structure.frame, structure.n_frames) == (2, 3)
    assert not structure.periodic.any()


def test_cell_and_periodicity_are_read(tmp_path):
    file = tmp_path / "POSCAR"
    file.write_text("He\n1.0\n4 0 0\n0 5 0\n0 0 6\nHe\n1\nDirect\n0.5 0.5 0.5\n")
    structure = read_structure(str(file))
    assert structure.periodic.all()
    assert np.array_equal(structure.cell, np.diag([4.0, 5.0, 6.0]))
    assert np.allclose(structure.positions, [[2.0, 2.5, 3.0]])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xyz", b"", "is empty"),
        ("b.xyz", b"2\n\nH 0 0 0\n", "cannot be read as a structure"),
        ("c.xyz", b"\x00\xff\x01", "cannot be read as a structure"),
        ("d.nonsense", b"hello", "cannot be read as a structure"),
        ("e.xyz", b"1\n\nXx 0 0 0\n", "cannot be read as a structure .*Xx"),
    ],
)
def test_a_broken_file_is_refused_in_a_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_structure(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_names_its_neighbor(tmp_path):
    (tmp_path / "water.xyz").write_text(FRAME)
    with pytest.raises(InputError, match=r"does not exist, did you mean 'water\.xyz'"):
        read_structure(tmp_path / "watre.xyz")
    with pytest.raises(InputError, match=r"does not exist$"):
        read_structure(tmp_path / "no_such_folder" / "water.xyz")


def test_a_directory_is_not_a_file(tmp_path):
    with pytest.raises(InputError, match="is a directory"):
        read_structure(tmp_path)


def test_a_file_that_may_not_be_opened_says_why(tmp_path, monkeypatch):
    file = tmp_path / "secret.xyz"
    file.write_text(FRAME)

    def refuse(*_args, **_settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(InputError, match="cannot be opened: Permission denied"):
        read_structure(file)
