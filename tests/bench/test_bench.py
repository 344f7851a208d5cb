"""The benchmarks run, at toy sizes; how fast is never asserted here."""

import math

import pytest

from adiabat.vmc.scores import table as scores
from bench import driver_overhead, start_up, step_cost, time_to_accuracy
from bench.__main__ import BENCHMARKS, main
from bench.processes import ChildFailed, output_of
from bench.rows import Row, format_table
from bench.stopwatch import Times, alternately
from bench.workload import Workload

TINY = {"layers": 1, "one_electron_width": 4, "pair_width": 2, "determinants": 1}
TOY = Workload(walkers=8, molecule="H", settings=TINY)


def values(rows):
    assert all(math.isfinite(row.value) for row in rows)
    return {row.what: row.value for row in rows}


def test_step_cost_has_every_part_of_a_step_and_limits_for_the_published_network_only():
    rows = step_cost.measure(TOY, rounds=1, memory=False, at_least=0.0)
    assert not any(row.limit for row in rows)
    found = values(rows)
    parts = {"forward pass", "10 moves", "forward Laplacian", "local energies", "scores", "Gram matrix", "solve"}
    assert parts | {"SPRING update", "energy gradient", "SPRING step", "K-FAC step", "Adam step"} == set(found)
    assert all(value > 0 for value in found.values())


def test_driver_overhead_is_that_of_the_steps_asked_for():
    rows = driver_overhead.measure(repeats=1, steps=5, free_steps=20)
    assert [row.limit for row in rows] == [100.0, None, 5.0]
    values(rows)


def test_start_up_counts_what_is_imported_too_early():
    found = values(start_up.measure(repeats=1, first_step=False))
    assert found["modules imported too early"] == 0
    assert {"import adiabat", "adiabat --help"} <= set(found)


@pytest.mark.slow
def test_the_first_step_is_timed_with_and_without_compiled_programs():
    settings = {"walkers": 8, "wavefunction": TINY, "sampler": {"steps": 1}}
    found = values(start_up.measure(repeats=1, system="H2", settings=settings))
    assert len([what for what in found if what.startswith("first training step of H2")]) == 2


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own():
    rows = step_cost.measure(TOY, rounds=1, at_least=0.0)
    peaks = [row.value for row in rows if row.unit == "GB"]
    assert len(peaks) == 6
    assert all(0.05 < peak < 2.0 for peak in peaks)


@pytest.mark.slow
def test_a_run_is_judged_by_its_energy():
    settings = ("--walkers=8", "--train.iterations=2", "--evaluate.iterations=4", "--sampler.steps=1")
    (row,) = time_to_accuracy.measure(["H2"], [0], settings)
    assert row.missed, "four steps of eight walkers have no error bar below half a millihartree"
    assert "millihartree above exact" in row.remark


@pytest.mark.parametrize(
    ("above", "error", "wrong"),
    [
        (0.2, 0.3, ""),
        (1.7, 0.3, "not within"),
        (1.0, 0.6, "error bar"),
        (-1.0, 0.3, ""),
        (-1.0, 0.2, "below exact"),
        (math.nan, 0.3, "not within"),
    ],
)
def test_an_energy_must_be_accurate_certain_and_not_too_low(above, error, wrong):
    summary = {"energy": -1.0 + 1e-3 * above, "energy_error": 1e-3 * error, "exact_energy": -1.0}
    _, failure = time_to_accuracy.judged(summary)
    assert wrong in failure
    assert bool(failure) == bool(wrong)


def test_the_table_says_what_was_missed():
    rows = [
        Row("group", "fast", 1.0, "s", 2.0),
        Row("group", "slow", 3.0, "s", 2.0, remark="alas"),
        Row("other", "unknown", math.nan, "s", 2.0),
        Row("other", "broken", 1.0, "s", failure="no energy"),
        Row("other", "free", 1.0, "s"),
        Row("other", "enough", 3.0, "", floor=3.0),
        Row("other", "too few", 2.0, "", floor=3.0),
    ]
    assert [row.missed for row in rows] == [False, True, True, True, False, False, True]
    table = format_table(rows)
    assert table.count("MISSED") == 4
    assert table.count(" ok") == 2
    assert table.count("at least 3") == 2
    assert table.splitlines()[0] == "group"


def test_times_are_taken_in_turn_with_the_unit():
    calls = []
    others = {"a": lambda: calls.append("a")}
    unit, ratios = alternately(lambda: calls.append("unit"), others, rounds=2, at_least=0.0)
    turns = [name for name, before in zip(calls, [None, *calls], strict=False) if name != before]
    assert turns == ["unit", "a", "unit", "a", "unit"]
    assert len(unit.all) == 3
    assert len(ratios["a"].all) == 2


def test_the_median_is_reported_with_its_range():
    assert Times((3.0, 1.0, 2.0)).median == 2.0
    assert Times((3.0, 1.0, 2.0)).range == "1 to 3"
    assert Times((3.0,)).range == ""


def test_a_child_that_fails_says_why():
    with pytest.raises(ChildFailed, match="ValueError: no such thing"):
        output_of("-c", "raise ValueError('no such thing')")


def test_an_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["spped"])
    assert f"there is {', '.join(BENCHMARKS)}" in capsys.readouterr().err


def test_memory_of_an_update_is_far_from_that_of_all_scores(monkeypatch):
    """As the compiler plans it; four times the walkers take no more than sixteen times the memory."""
    from bench.optimizer_memory import measure

    monkeypatch.setattr(scores, "FREE", 0)
    few, many = (row.value for row in measure((32, 128), ("4 x 64",)))
    assert 0 < few < many < 16 * few
    assert many < 0.5 * 4e-6 * 128 * 62434
