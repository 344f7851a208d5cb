"""Extended XYZ: frames are found whatever is wrong with some of them, and written so that nothing is lost."""

import io

import numpy as np
import pytest

from adiabat.errors import InputError
from adiabat.io.extxyz import frame_text, split_frames
from adiabat.io.structures import parse_extxyz

GOOD = ["1\n\nHe 0 0 0\n", "2\nx=1\nLi 0 0 0\nH 0.5 -1 1.6\n", "1\n12\nNe 1 2 3\n"]


def split(text):
    return list(split_frames(io.BytesIO(text.encode())))


def test_frames_are_found_with_their_places():
    text = "\n".join(GOOD)  # an empty line between two frames
    frames = split(text)
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.text for frame in frames] == GOOD
    assert not any(frame.problem or frame.cut_off for frame in frames)
    assert text[frames[1].start : frames[2].start].strip() == GOOD[1].strip()
    assert frames[-1].end == len(text)
    assert split("") == split(" \n\n") == []


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("3\nx=1\nLi 0 0 0\nH 0 0 1\n", "it has 2 of the 3 atoms"),
        ("1\n\nLi 0 0 0\nH 0 0 1\nH 0 0 2\n", "after the 1 atoms that it says it has come 2 more lines"),
        ("what is this\nand this\n", "it begins with 'what is this' where a number of atoms"),
    ],
)
@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_frame_of_the_wrong_length_leaves_the_others_alone(bad, problem, where):
    texts = [*GOOD[:where], bad, *GOOD[where:]]
    if bad.startswith("what") and where > 0:
        # These lines could as well be too many of the frame before.
        problem = f"after the {split(texts[where - 1])[0].text.split()[0]} atoms that it says it has come 2 more"
        texts = [*GOOD[: where - 1], GOOD[where - 1] + bad, *GOOD[where:]]
        where -= 1
    frames = split("".join(texts))
    assert problem in frames.pop(where).problem
    assert [frame.text for frame in frames] == [text for i, text in enumerate(texts) if i != where]
    assert not any(frame.problem for frame in frames)


def test_a_file_that_was_cut_off_anywhere_loses_its_last_frame_only():
    text = "".join(GOOD)
    starts = [frame.start for frame in split(text)]
    for n in range(1, len(text)):
        frames = split(text[:n])
        whole = [frame for frame in frames if not frame.cut_off]
        n_whole = sum(n >= end for end in (*starts[1:], len(text)))
        assert [frame.text for frame in whole] == GOOD[:n_whole]
        assert all(frame.cut_off for frame in frames[n_whole:])


def test_lattice_vectors_in_lines_of_their_own_belong_to_the_frame():
    text = "1\n\nHe 0 0 0\nVEC1 4 0 0\nVEC2 0 4 0\nVEC3 0 0 4\n"
    frames = split(text + GOOD[0])
    assert [frame.text for frame in frames] == [text, GOOD[0]]
    assert parse_extxyz(frames[0]).cell.lengths().tolist() == [4.0, 4.0, 4.0]


INFO = {
    "plain": "word",
    "words": "two words, \"quoted\" 'so' \\ and {so} = [1]",
    "number_like": "12",
    "truth_like": "T",
    "empty": "",
    "lines": "two\nlines",
    "yes": True,
    "no": np.bool_(False),
    "count": 7,
    "tiny": 0.1 + 0.2,
    "unknown": float("nan"),
    "vector": np.array([0.1, 1 / 3, -2e-300]),
    "one": np.array([5.5]),
    "bools": np.array([True, False]),
    "ints": np.array([1, 2, 3]),
    "matrix": np.arange(4.0).reshape(2, 2) / 3,
    "nested": {"a": [1, 2], "b": None},
    "a key": 3,
}


def test_what_is_written_is_read_back_by_ase_to_the_bit():
    rng = np.random.default_rng(0)
    columns = {
        "pos": rng.normal(size=(3, 3)) * 1e3,
        "forces": rng.normal(size=(3, 3)) * 1e-9,
        "label": np.array([4, -1, 2], np.int32),
        "mark": np.array([True, False, True]),
        "matrix": rng.normal(size=(3, 2, 2)),
    }
    cell, stress = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    stress += stress.T
    text = frame_text(["Ar", "He", "H"], columns, {**INFO, "stress": stress}, cell, [True, False, True])
    (frame,) = split(text)
    atoms = parse_extxyz(frame)
    assert atoms.get_chemical_symbols() == ["Ar", "He", "H"]
    assert np.array_equal(atoms.positions, columns["pos"])
    assert np.array_equal(atoms.calc.results["forces"], columns["forces"])
    assert np.array_equal(atoms.calc.results["stress"], stress.reshape(-1)[[0, 4, 8, 5, 2, 1]])
    assert np.array_equal(atoms.arrays["label"], columns["label"])
    assert np.array_equal(atoms.arrays["mark"], columns["mark"])
    assert np.array_equal(atoms.arrays["matrix"], columns["matrix"].reshape(3, 4))
    assert np.array_equal(atoms.cell, cell)
    assert atoms.pbc.tolist() == [True, False, True]
    for name, value in INFO.items():
        found = atoms.info[name]
        if isinstance(value, (str, dict)):
            assert found == value
        else:
            assert np.array_equal(found, value, equal_nan=True)
            assert np.asarray(found).dtype.kind == np.asarray(value).dtype.kind


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pos": np.zeros((1, 3)), "z": np.zeros(1, complex)}, "no such columns of complex128"),
        ({"pos": np.zeros((1, 3)), "z": np.array([2**31])}, "no such columns of int64"),
        ({"pos": np.zeros((1, 3)), "a:b": np.zeros(1)}, "'a:b' cannot be the name of a column"),
    ],
)
def test_what_such_a_file_cannot_hold_is_refused(columns, message):
    with pytest.raises(InputError, match=message):
        frame_text(["H"], columns, {})
