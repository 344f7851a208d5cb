"""All frames of a file: each comes or is named, in every format, and the file is read once."""

import gzip

import ase
import ase.db
import ase.io
import numpy as np
import pytest

from adiabat.errors import InputError
from adiabat.io.structures import Frame, UnreadableFrame, read_structures

GOOD = "2\n\nLi 0 0 0\nH 0.5 -1 1.6\n"
BAD = {
    "element": ("1\n\nXx 0 0 0\n", "Xx"),
    "number": ("1\n\nHe 0 zero 0\n", "zero"),
    "short": ("3\n\nHe 0 0 0\n", "it has 1 of the 3 atoms"),
    "long": ("1\n\nHe 0 0 0\nHe 0 0 3\n", "1 more lines"),
    "columns": ("1\nProperties=species:S:1:pos:R:3:forces:R:3\nHe 0 0 0\n", "."),
}


def read(path, **given):
    return list(read_structures(path, **given))


@pytest.mark.parametrize("kind", BAD)
def test_an_unreadable_frame_is_named_and_the_others_still_come(tmp_path, kind):
    text, reason = BAD[kind]
    file = tmp_path / "a.extxyz"
    file.write_text(GOOD + text + GOOD)
    first, broken, last = read(file)
    assert isinstance(broken, UnreadableFrame)
    assert (broken.index, broken.source) == (1, str(file))
    assert reason in str(broken)
    assert str(broken).startswith(f"frame 1 of '{file}' cannot be used: ")
    assert "\n" not in str(broken)
    assert [first.index, last.index] == [0, 2]
    assert last.atoms.get_chemical_symbols() == ["Li", "H"]
    with pytest.raises(InputError, match="frame 1 of"):
        read(file, strict=True)


def test_a_file_that_ends_too_early_loses_its_last_frame(tmp_path):
    file = tmp_path / "a.xyz"
    file.write_text(GOOD + "2\n\nLi 0 0 0\n")
    good, cut = read(file)
    assert isinstance(good, Frame)
    assert "the file ends after 1 of its 2 atoms" in cut.reason


def test_a_sentence_in_a_plain_xyz_file_is_a_comment(tmp_path):
    file = tmp_path / "a.xyz"
    file.write_text("1\nfrom the PBE paper\nHe 0 0 0\n1\ncharge=2 PBE\nHe 0 0 0\n")
    first, second = read(file)
    assert first.atoms.info == {"comment": "from the PBE paper"}
    assert second.atoms.info == {"charge": 2, "PBE": True}


def test_a_large_file_is_read_once_and_bit_by_bit(tmp_path, monkeypatch):
    file = tmp_path / "a@1.xyz"  # '@' is a letter of the name
    file.write_text(GOOD * 5000)
    opened, taken = [], 0
    original = ase.io.formats.open_with_compression

    class Counting:
        def __init__(self, stream):
            self.stream = stream

        def readline(self):
            nonlocal taken
            line = self.stream.readline()
            taken += len(line)
            return line

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.stream.close()

    def counting(name, mode="r"):
        opened.append(name)
        return Counting(original(name, mode))

    monkeypatch.setattr("ase.io.formats.filetype", lambda name: "extxyz")
    monkeypatch.setattr("ase.io.formats.open_with_compression", counting)
    frames = read_structures(file)
    assert next(frames).index == 0
    assert taken < 1000
    assert sum(1 for _ in frames) == 4999
    assert (len(opened), taken) == (1, 5000 * len(GOOD))


def test_a_compressed_file_is_read(tmp_path):
    file = tmp_path / "a.xyz.gz"
    file.write_bytes(gzip.compress((GOOD * 3).encode()))
    assert [frame.index for frame in read(file)] == [0, 1, 2]


def crystal():
    return ase.Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[4.0, 4.0, 4.0], pbc=True)


@pytest.mark.parametrize("name", ["a.cif", "POSCAR", "a.db", "a.json", "a.traj"])
def test_whatever_ase_reads_comes_frame_by_frame(tmp_path, name):
    file = tmp_path / name
    images = [crystal()] if name == "POSCAR" else [crystal(), crystal().repeat((2, 1, 1))]
    if name.endswith((".db", ".json")):
        with ase.db.connect(file) as database:
            for i, atoms in enumerate(images):
                database.write(atoms, label=f"no{i}", score=i)
    else:
        ase.io.write(file, images)
    frames = read(file)
    assert [frame.index for frame in frames] == list(range(len(images)))
    for frame, atoms in zip(frames, images, strict=True):
        assert frame.source == str(file)
        assert sorted(frame.atoms.get_chemical_symbols()) == sorted(atoms.get_chemical_symbols())
        assert np.allclose(frame.atoms.cell, atoms.cell)
        assert frame.atoms.pbc.all()
    if name.endswith((".db", ".json")):
        assert frames[1].atoms.info == {"label": "no1", "score": 1}


CIF = """data_{name}
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha {angle}
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
_space_group_IT_number 1
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 {occupancy}
"""


def test_one_bad_block_of_a_cif_file_leaves_the_others_alone(tmp_path):
    file = tmp_path / "a.cif"
    blocks = [{"name": "a"}, {"name": "b", "angle": "ninety"}, {"name": "c", "occupancy": 0.5}, {"name": "d"}]
    file.write_text("".join(CIF.format(**{"angle": 90, "occupancy": 1.0} | block) for block in blocks))
    good, broken, partial, last = read(file)
    assert [good.index, broken.index, partial.index, last.index] == [0, 1, 2, 3]
    assert isinstance(broken, UnreadableFrame)
    assert "occupied in part" in partial.reason
    assert "occupancy" not in last.atoms.info
    assert last.atoms.get_chemical_symbols() == ["Na"]


def test_one_bad_row_of_a_database_leaves_the_others_alone(tmp_path):
    import sqlite3

    file = tmp_path / "a.db"
    with ase.db.connect(file) as database:
        for _ in range(3):
            database.write(crystal())
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE systems SET positions = ? WHERE id = 2", (b"12345",))
    connection.close()
    good, broken, last = read(file)
    assert isinstance(broken, UnreadableFrame)
    assert broken.index == 1
    assert (len(good.atoms), len(last.atoms), last.index) == (2, 2, 2)


def test_where_the_next_frame_cannot_be_found_the_broken_one_is_the_last(tmp_path):
    file = tmp_path / "a.traj"
    ase.io.write(file, [crystal()] * 3)
    content = bytearray(file.read_bytes())
    where = content.rindex(b'"positions.":')
    content[where : where + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(content)
    *good, broken = read(file)
    assert all(isinstance(frame, Frame) for frame in good)
    assert isinstance(broken, UnreadableFrame)
    assert broken.index == len(good) > 0
    assert "what follows it cannot be found" in broken.reason


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xyz", b"", "is empty"),
        ("b.xyz", b" \n\n", "cannot be read as a structure|holds no structure"),
        ("c.xyz", b"\x00\xff\x01", "cannot be read as a structure"),
        ("d.nonsense", b"hello", "cannot be read as a structure"),
        ("e.json", b'{"a": 1}', "cannot be read as a structure"),
        ("f.cif", b"hello", "cannot be read as a structure|holds no structure"),
        ("g.db", b"hello", "cannot be read as a structure"),
        ("POSCAR", b"hello", "cannot be read as a structure"),
    ],
)
def test_a_file_without_any_structure_is_refused_at_once(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_structures(tmp_path / name)  # before the first frame is asked for
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_structures(tmp_path / "none.xyz")
