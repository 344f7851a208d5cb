"""The final table: energies with their errors beside what is known, in plain text and on a terminal."""

import io
import json

import pytest
from rich.console import Console

from adiabat.errors import InputError
from adiabat.report import format_table, print_table, run_report

SUMMARY = {
    "kind": "energy",
    "name": "LiH",
    "status": "finished",
    "unit": "hartree",
    "seed": 7,
    "walkers": 512,
    "energy": -8.070413,
    "energy_error": 0.000231,
    "energy_variance": 0.0203,
    "autocorrelation_time": 2.1,
    "split_rhat": 1.0012,
    "acceptance": 0.523,
    "hartree_fock_energy": -7.98362,
    "hartree_fock_limit": -7.98737,
    "exact_energy": -8.070548,
    "exact_source": "Cencek and Rychlewski (2000)",
    "steps": {"pretrain": 200, "train": 2000, "evaluate": 1000},
    "seconds": {"pretrain": 3.1, "train": 40.2, "evaluate": 9.8, "compile": {"train": 10.0, "evaluate": 2.4}},
}


def table(**changes) -> dict[str, str]:
    """The lines of the plain table by their labels."""
    text = format_table({**SUMMARY, **changes}, "runs/LiH")
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    return {label: rest.strip() for label, _, rest in (line.partition("  ") for line in lines)}


def test_plain_table():
    lines = table()
    assert lines["energy"] == "-8.07041(23) hartree"
    assert lines["Hartree-Fock"] == "-7.983620 hartree"
    assert lines["below Hartree-Fock"].startswith("0.08679(23) hartree")
    assert lines["below Hartree-Fock"].endswith("99.8 % of the exact correlation energy")
    assert lines["exact"].startswith("-8.070548 hartree")
    assert lines["exact"].endswith("Cencek and Rychlewski (2000)")
    assert lines["above exact"].split() == ["0.14(23)", "millihartree", "0.6", "sigma"]
    assert lines["seconds"].startswith("65.5")
    assert lines["seconds"].endswith("  pretrain 3.1, train 40.2, evaluate 9.8, compile 12.4")
    assert lines["folder"] == "runs/LiH"


def test_an_energy_that_cannot_be_is_called_so():
    assert "do not trust" in table(energy=-8.0725)["below exact"]
    assert "do not trust" not in table(energy=-8.0707)["below exact"]


def test_an_estimate_of_the_exact_energy_is_called_so_and_may_be_undercut():
    lines = table(exact_is_estimate=True, energy=-8.0725)
    assert lines["best estimate"].startswith("-8.070548 hartree")
    assert "do not trust" not in lines["below estimate"]
    assert "of the estimated correlation energy" in lines["below Hartree-Fock"]
    assert "exact" not in lines


def test_without_the_basis_set_limit_no_share_is_given():
    assert "%" not in table(hartree_fock_limit=None)["below Hartree-Fock"]


def test_chains_that_have_not_mixed_are_called_so():
    assert "not mixed" in table(split_rhat=1.3)["R-hat"]


def test_fallbacks_of_the_solver_are_told_where_there_were_any():
    assert table(solver_fallbacks=3)["solver fell back"].startswith("3 times")
    assert "solver fell back" not in table(solver_fallbacks=0)


@pytest.mark.parametrize("missing", [{}, {"energy": None, "status": "stopped"}, {"energy": -1.0}])
def test_whatever_is_missing_is_left_out(missing):
    assert "nan" not in format_table(missing).lower()
    print_table(missing, console=Console(file=io.StringIO(), force_terminal=True))


def test_no_error_bar():
    energy = table(energy_error=None, note="no error bar: there is only one sample")["energy"]
    assert energy.startswith("-8.07041(?) hartree")
    assert energy.endswith("no error bar: there is only one sample")


def test_a_run_that_did_not_finish_says_so():
    text = format_table({**SUMMARY, "status": "stopped", "reason": "time limit"})
    assert text.splitlines()[0] == "LiH, stopped: time limit"


def test_terminal_gets_a_frame_and_a_pipe_does_not():
    pipe, terminal = io.StringIO(), io.StringIO()
    print_table(SUMMARY, console=Console(file=pipe))
    print_table(SUMMARY, console=Console(file=terminal, force_terminal=True, width=120))
    assert "─" not in pipe.getvalue()
    assert "─" in terminal.getvalue()
    assert "-8.07041(23) hartree" in terminal.getvalue()


def test_report_from_a_folder(tmp_path, capsys):
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    rows = ["step,stage,energy,acceptance", "0,train,-8.0,0.5", "1,train,-8.1,0.6", "2,tra"]
    (metrics / "train.csv").write_text("\n".join(rows))
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    assert run_report(tmp_path) == SUMMARY
    assert "-8.07041(23) hartree" in capsys.readouterr().out
    assert (tmp_path / "plots" / "training.png").stat().st_size > 10_000


def test_report_without_metrics(tmp_path, capsys):
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    run_report(tmp_path)
    assert "LiH" in capsys.readouterr().out
    assert not (tmp_path / "plots").exists()


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        run_report(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no summary\.json"):
        run_report(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        run_report(tmp_path)
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(InputError, match="holds a list"):
        run_report(tmp_path)
