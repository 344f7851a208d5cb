"""Writers of metrics: what was written can be read, and a resumed run finds its place."""

import csv
import io
import json
import math

import h5py
import numpy as np
import pytest

from adiabat.errors import InputError
from adiabat.io.writers import ConsoleLines, CSVWriter, HDF5Writer, JSONLinesWriter, row_writer

ROWS = [{"step": n, "stage": "train", "energy": -8.0 - 0.1 * n, "accepted": n % 2 == 0} for n in range(6)]


def read(path):
    """Rows of any of the formats as dicts."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            columns = {name: file[name].asstr()[:] if file[name].dtype.kind == "O" else file[name][:] for name in file}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def written(writer, *blocks, resume_step=0):
    writer.open(resume_step)
    for block in blocks:
        writer.write(block)
    writer.close()
    return read(writer.path)


@pytest.fixture(params=["csv", "jsonl", "hdf5"])
def kind(request):
    return request.param


def test_rows_come_back_with_all_digits(tmp_path, kind):
    rows = written(row_writer(kind, tmp_path / "metrics", "train"), ROWS[:2], ROWS[2:])
    assert [int(row["step"]) for row in rows] == list(range(6))
    assert [float(row["energy"]) for row in rows] == [row["energy"] for row in ROWS]
    assert all(row["stage"] == "train" for row in rows)


def test_on_resume_rows_of_the_step_and_later_are_cut_off(tmp_path, kind):
    writer = row_writer(kind, tmp_path, "train")
    written(writer, ROWS)
    new = [{**row, "energy": 0.0} for row in ROWS[4:]]
    rows = written(row_writer(kind, tmp_path, "train"), new, resume_step=4)
    assert [float(row["energy"]) for row in rows] == [row["energy"] for row in ROWS[:4]] + [0.0, 0.0]


def test_a_file_may_be_cut_off_wholly_and_one_that_ends_before_is_left_alone(tmp_path, kind):
    writer = row_writer(kind, tmp_path, "train")
    written(writer, ROWS)
    assert len(written(writer, resume_step=100)) == 6
    assert written(writer, resume_step=0) == []
    assert len(written(writer, ROWS)) == 6


def test_several_systems_share_a_step(tmp_path, kind):
    rows = [{"step": n, "system": s, "energy": float(s)} for n in range(3) for s in range(2)]
    writer = row_writer(kind, tmp_path, "relax")
    written(writer, rows)
    kept = written(writer, resume_step=2)
    assert [(int(row["step"]), int(row["system"])) for row in kept] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_name_may_appear_later(tmp_path, kind):
    late = [{**row, "gap": 1.5} for row in ROWS[3:]]
    rows = written(row_writer(kind, tmp_path, "train"), ROWS[:3], late)
    gaps = [row.get("gap") for row in rows]
    assert all(gap in ("", None) or math.isnan(gap) for gap in gaps[:3])
    assert [float(gap) for gap in gaps[3:]] == [1.5] * 3


@pytest.mark.parametrize("writer", [CSVWriter, JSONLinesWriter])
@pytest.mark.parametrize("rest", [b"6,tra", b'{"step": 6, "sta', b"nonsense\n"])
def test_a_line_that_a_killed_process_left_incomplete_is_removed(tmp_path, writer, rest):
    made = writer(tmp_path / f"train{writer.suffix}")
    before = written(made, ROWS)
    with open(made.path, "ab") as file:
        file.write(rest)
    assert written(made, resume_step=100) == before
    assert len(written(made, [{**ROWS[0], "step": 6}], resume_step=100)) == 7


def test_a_csv_file_killed_in_its_header_starts_anew(tmp_path):
    (tmp_path / "train.csv").write_text("step,sta")
    assert len(written(CSVWriter(tmp_path / "train.csv"), ROWS)) == 6


def test_rows_of_text_are_in_the_file_as_soon_as_they_are_written(tmp_path):
    for kind in ("csv", "jsonl"):
        writer = row_writer(kind, tmp_path, "train")
        writer.open()
        writer.write(ROWS)
        assert len(read(writer.path)) == 6
        writer.close()


def test_an_hdf5_file_can_be_read_at_any_time_and_has_what_was_synced(tmp_path):
    writer = HDF5Writer(tmp_path / "train.h5")
    writer.open()
    writer.write(ROWS[:3])
    writer.sync()
    writer.write(ROWS[3:])
    assert len(read(writer.path)) == 3
    writer.close()
    assert len(read(writer.path)) == 6


def test_arrays_are_kept_in_every_format(tmp_path, kind):
    rows = [{"step": n, "density": np.arange(3) + n} for n in range(2)]
    found = written(row_writer(kind, tmp_path, "evaluate"), rows)
    densities = [json.loads(row["density"]) if kind == "csv" else list(row["density"]) for row in found]
    assert densities == [[0, 1, 2], [1, 2, 3]]


def test_numbers_that_are_not_finite_are_null_in_json_and_themselves_elsewhere(tmp_path):
    row = {"step": 0, "error": float("nan"), "bound": float("inf")}
    assert written(JSONLinesWriter(tmp_path / "a.jsonl"), [row]) == [{"step": 0, "error": None, "bound": None}]
    assert written(CSVWriter(tmp_path / "a.csv"), [row]) == [{"step": "0", "error": "nan", "bound": "inf"}]
    assert np.isinf(written(HDF5Writer(tmp_path / "a.h5"), [row])[0]["bound"])


def test_the_same_rows_give_the_same_file_however_they_come(tmp_path, kind):
    written(row_writer(kind, tmp_path, "one"), ROWS)
    written(row_writer(kind, tmp_path, "two"), *[[row] for row in ROWS])
    one, two = (next(tmp_path.glob(f"{name}.*")) for name in ("one", "two"))
    assert read(one) == read(two)
    if kind != "hdf5":
        assert one.read_bytes() == two.read_bytes()


def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="'parquet'; expected one of csv, jsonl, hdf5"):
        row_writer("parquet", tmp_path, "train")


def test_console_lines_come_every_few_seconds_and_show_the_newest_row():
    stream = io.StringIO()
    console = ConsoleLines(["energy"], interval=1000.0, stream=stream)
    console.write(ROWS[:3])
    console.write(ROWS[3:])
    assert stream.getvalue() == "train 2: energy -8.2\n"
