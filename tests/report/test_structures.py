"""What is shown of a run of many structures: the live line, the table, the picture."""

import csv
import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from adiabat.report.live_structures import LiveStructures, compact
from adiabat.report.structures_plot import plot_structures, read_courses
from adiabat.report.structures_table import failures
from adiabat.report.table import format_table


def look(seconds, done, active, queued, failed=0, unfinished=0):
    counts = {"queued": queued, "active": active, "done": done, "unfinished": unfinished, "failed": failed}
    return SimpleNamespace(
        counts=counts, seconds=seconds, steps=10, steps_per_second=1234.0, atom_steps_per_second=2.5e6, occupancy=0.875
    )


@pytest.mark.usefixtures("unchecked")
def test_the_live_line_says_how_many_are_where_how_fast_and_what_is_left():
    tally = SimpleNamespace()
    live = LiveStructures(tally, Console(file=io.StringIO()), interval=1e9)
    assert live.parts() == []
    assert live.position() == (None, 0)
    # Half of them were done by an earlier process, and the first look comes after ten seconds of compiling.
    tally.progress = lambda: look(10.0, done=50, active=4, queued=46)
    live.on_progress(0, None)
    assert not [part for part in live.parts() if "left" in part]
    tally.progress = lambda: look(12.0, done=58, active=4, queued=36, failed=1, unfinished=1)
    live.on_progress(1, None)
    assert live.parts() == [
        "58/100 done",
        "4 active",
        "36 queued",
        "1 unfinished",
        "1 failed",
        "1.23 k steps/s",
        "2.5 M atom-steps/s",
        "slots 88 % full",
        "about 0:08 left",  # ten in two seconds, forty to go
    ]
    assert live.position() == (100, 60)


@pytest.mark.parametrize(("number", "text"), [(0.517, "0.52"), (31.4, "31"), (4210.0, "4.21 k"), (1.7e6, "1.7 M")])
def test_rates_are_short(number, text):
    assert compact(number) == text


def test_the_table_says_what_became_of_them():
    summary = {
        "kind": "relax",
        "name": "clusters",
        "status": "finished",
        "potential": "Lennard-Jones",
        "structures": 10,
        "outcomes": {"queued": 0, "active": 0, "done": 7, "unfinished": 1, "failed": 2},
        "failures": {"3": "it has no atoms", "8": "energy is nan at step 4"},
        "steps": {"fire": 120},
        "seconds": {"fire": 2.0},
        "compiling": {"fire": 1.0},
        "atom_steps": 8000,
        "occupancy": 0.5,
        "buckets": [{"n_slots": 4, "n_slot_atoms": 16}],
        "seed": 0,
    }
    lines = [line.split() for line in format_table(summary, "runs/clusters").splitlines()]
    assert ["done", "7", "of", "10"] in lines
    assert ["structure", "8", "energy", "is", "nan", "at", "step", "4"] in lines
    assert ["speed", "4", "k", "atom-steps/s", "compilation", "apart"] in lines
    assert ["slots", "50", "%", "full", "4", "of", "16", "atoms"] in lines
    assert failures(summary) == "of 10 structures 2 failed, 1 did not converge"
    assert failures({**summary, "outcomes": {"done": 10}}) == ""


@pytest.fixture
def logs(tmp_path):
    """Logs of two sizes of slots: system 2 is relaxed and then heated, its rows not in order."""
    rows = {
        "8-atoms": [(0, 10, "fire", -1.0, 0.5, ""), (0, 14, "fire", -1.5, 0.001, "")],
        "16-atoms": [(2, 20, "nve", -2.0, 0.3, 55.0), (2, 10, "fire", -3.0, 0.2, ""), (1, 5, "fire", "", "", "")],
    }
    for name, lines in rows.items():
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["system_id", "system_step", "stage", "energy", "fmax", "temperature"])
            writer.writerows(lines)
    return tmp_path


def test_courses_are_put_together_by_structure_and_step(logs):
    courses = read_courses(logs)
    assert list(courses) == [0, 1, 2]
    np.testing.assert_array_equal(courses[2].step, [10, 20])
    np.testing.assert_array_equal(courses[2].columns["temperature"], [np.nan, 55.0])
    assert np.isnan(courses[1].columns["energy"]).all()


def test_the_picture_has_a_panel_for_what_was_logged(logs, tmp_path):
    from matplotlib.image import imread

    plot_structures(tmp_path / "three.png", read_courses(logs))
    for path in logs.glob("16-atoms.csv"):
        path.unlink()
    plot_structures(tmp_path / "two.png", read_courses(logs))
    three, two = (imread(tmp_path / f"{name}.png").shape[0] for name in ("three", "two"))
    assert three > two
