"""What a user types reaches the program; help, lists and descriptions answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from adiabat.cli.commands import COMMANDS
from adiabat.config import FAMILIES, Kind


def values(cfg):
    return {record.path: record.value for record in cfg.resolved()}


def test_energy_with_everything(adiabat, calls):
    Path("my.yaml").write_text("seed: 7\ntrain: {iterations: 1}\n")
    words = "energy LiH --charge -1 --spin=1 --unit bohr --walkers 64 --wavefunction psiformer --seed 3"
    more = "--out runs/x --config my.yaml --time-limit 1h30m --error 1e-3 --reset-optimizer -v"
    settings = "--train.iterations=5000 --train.check_vma false"
    assert adiabat(*f"{words} {more} {settings}".split()) == (0, "", "")
    ((function, given),) = calls
    assert function == "compute"
    assert (given["system"], given["out"], given["time_limit"]) == ("LiH", "runs/x", 5400.0)
    assert (given["verbosity"], given["show_config"], given["reset_optimizer"]) == (1, False, True)
    assert values(given["cfg"]) == {
        "seed": 3,
        "system.name": "LiH",
        "system.charge": -1,
        "system.spin": 1,
        "system.unit": "bohr",
        "sampler.walkers": 64,
        "wavefunction": "psiformer",
        "train.iterations": 5000,
        "train.check_vma": False,
        "evaluate.error": 1e-3,
    }


def test_energy_with_nothing(adiabat, calls):
    assert adiabat("energy", "H 0 0 0; H 0 0 1.4")[0] == 0
    given = calls[0][1]
    assert (given["system"], given["out"], given["time_limit"]) == ("H 0 0 0; H 0 0 1.4", None, None)
    assert (given["verbosity"], given["reset_optimizer"]) == (0, False)


def test_quiet_before_the_command(adiabat, calls):
    assert adiabat("-q", "energy", "He")[0] == 0
    assert calls[0][1]["verbosity"] == -1


def test_show_config_prints_values_and_their_sources(adiabat, calls):
    code, out, _ = adiabat("energy", "LiH", "--walkers", "64", "--show-config")
    assert code == 0
    assert calls[0][1]["show_config"] is True
    assert "  walkers: 64" in out
    assert "# --walkers" in out
    assert "iterations: 100" in out


def test_what_show_config_prints_is_a_configuration(adiabat, calls):
    _, out, _ = adiabat("energy", "LiH", "--walkers", "64", "--seed", "5", "--show-config")
    Path("again.yaml").write_text(out)
    assert adiabat("energy", "LiH", "--config", "again.yaml")[0] == 0
    first, second = (values(given["cfg"]) for _, given in calls)
    assert first == second


def test_evaluate_reads_what_the_run_has_written(adiabat, calls):
    folder = Path("runs/LiH")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 4\nsampler: {walkers: 32}\n")
    assert adiabat("evaluate", "runs/LiH", "--error", "1e-4", "--time-limit=10")[0] == 0
    ((_, given),) = calls
    assert given["out"] == folder
    assert given["system"] is None
    assert given["time_limit"] == 10.0
    assert values(given["cfg"])["sampler.walkers"] == 32
    assert values(given["cfg"])["evaluate.error"] == 1e-4


def test_report(adiabat, calls):
    Path("run").mkdir()
    Path("run/config.yaml").touch()
    assert adiabat("report", "run")[0] == 0
    assert calls == [("run_report", {"folder": Path("run")})]


def test_help(adiabat):
    code, out, _ = adiabat("--help")
    assert code == 0
    assert all(f"  {name} " in out for name in COMMANDS)
    for name, command in COMMANDS.items():
        code, out, _ = adiabat(name, "--help")
        assert code == 0
        assert out.startswith(f"usage: adiabat {name}")
        assert all(option.name in out for option in command.options)
        assert max(len(line) for line in out.splitlines()) <= 110
    assert "pretrain" in adiabat("energy", "-h")[1]


def test_list(adiabat):
    code, out, _ = adiabat("list")
    assert code == 0
    assert all(name in out for name in FAMILIES)
    for word in ("optimizers", "optimizer"):
        code, out, _ = adiabat("list", word)
        assert code == 0
        assert all(name in out for name in FAMILIES["optimizers"].kinds)
        assert "optax:NAME" in out


SETTINGS = '''
from dataclasses import dataclass
from adiabat.config import setting, wired

@dataclass(frozen=True)
class Inner:
    rate: float = setting(0.05, above=0)

@dataclass(frozen=True)
class Thing:
    """A thing to describe.

    More about it.
    """
    width: float = setting(help="of the box", unit="bohr", above=0)
    steps: int = setting(10, min=1, max=99)
    inner: float | Inner = setting(Inner(), kind="schedules")
    mode: str | None = None
    function: object = wired()
'''


def test_describe(adiabat, tmp_path, monkeypatch):
    (tmp_path / "described_things.py").write_text(SETTINGS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("adiabat.cli.describe.prepare", lambda: None)
    monkeypatch.setitem(FAMILIES["samplers"].kinds, "thing", Kind("described_things:Thing", "a kind of thing"))
    code, out, _ = adiabat("describe", "thing")
    assert code == 0
    assert out.startswith("thing (sampler): a kind of thing\ndescribed_things:Thing\n")
    rows = {line.split()[0]: " ".join(line.split()) for line in out.splitlines()[4:]}
    assert rows == {
        "width": "width a number > 0 required bohr of the box",
        "steps": "steps an integer >= 1 and <= 99 10",
        "inner": "inner a kind of schedule or a number described_things:Inner(rate=0.05)",
        "mode": "mode a word or none none",
    }
    assert "A thing to describe." in adiabat("describe", "described_things:Thing")[1]


def test_describe_an_optimizer_of_optax(adiabat, monkeypatch):
    monkeypatch.setattr("adiabat.cli.describe.prepare", lambda: None)
    code, out, _ = adiabat("describe", "optax:adam")
    assert code == 0
    assert out.startswith("optax:adam (optimizer): The Adam optimizer.\n")
    rows = [line.split() for line in out.splitlines()]
    assert ["b2", "a", "kind", "of", "schedule", "or", "a", "number", "0.999", "Exponential"] in [
        row[:10] for row in rows
    ]
    assert ["learning_rate", "a", "kind", "of", "schedule", "or", "a", "number", ">=", "0", "required"] in [
        row[:11] for row in rows
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["enrgy", "LiH"],
            "unknown command 'enrgy', did you mean 'energy'?; there is energy, evaluate, relax,",
        ),
        (["--verson"], "unknown option '--verson'"),
        (["energy"], "energy needs a SYSTEM: a name (LiH), a structure file"),
        (["energy", "H", "0", "0"], "unexpected '0' after 'adiabat energy'; put quotes around a structure"),
        (["energy", "LiH", "--confg", "x"], "unknown option --confg, did you mean '--config'?"),
        (["energy", "LiH", "--walker", "8"], "unknown option --walker, did you mean '--walkers'?"),
        (["energy", "LiH", "-x"], "unknown option -x; see 'adiabat energy --help'"),
        (
            ["energy", "LiH", "--train.iteratons=5"],
            "unknown option --train.iteratons, did you mean '--train.iterations'?",
        ),
        (
            ["energy", "LiH", "--time-limit", "soon"],
            "--time-limit: expected a time such as 90, 10m or 1h30m, got 'soon'",
        ),
        (["energy", "LiH", "--devices", "0"], "--devices: expected an integer >= 1, got '0'"),
        (["energy", "LiH", "--out"], "--out: a value is missing (FOLDER: folder of the run"),
        (["energy", "LiH", "--show-config=yes"], "--show-config takes no value, got 'yes'"),
        (["energy", "LiH", "--walkers", "0"], "--walkers: expected an integer >= 1, got '0'"),
        (["energy", "LiH", "--walkers"], "--walkers: a value is missing, expected an integer >= 1"),
        (
            ["energy", "LiH", "--train.iterations", "-5"],
            "--train.iterations: expected an integer >= 0, got '-5'",
        ),
        (
            ["energy", "LiH", "--train.iterations", "many"],
            "--train.iterations: expected an integer >= 0, got 'many'",
        ),
        (["energy", "LiH", "--error", "-1e-3"], "--error: expected a number > 0 or none, got '-1e-3'"),
        (
            ["energy", "LiH", "--config", "no.yaml"],
            "cannot read the configuration file 'no.yaml': No such file",
        ),
        (
            ["energy", "LiH", "--config", "bad.yaml"],
            "bad.yaml:2: unknown setting 'sampler.walker', did you mean 'sampler.walkers'?",
        ),
        (["evaluate", "runs/LiG"], "there is no run folder 'runs/LiG', did you mean 'runs/LiH'?"),
        (["evaluate", "LiH"], "there is no run folder 'LiH', did you mean 'runs/LiH'?"),
        (["report", "runs"], "'runs' is no run folder: it has no config.yaml"),
        (["report", "runs/LiH", "--out", "x"], "unknown option --out; see 'adiabat report --help'"),
        (["list", "optimisers"], "unknown family 'optimisers', did you mean 'optimizers'?"),
        (["describe", "ssr"], "nothing is called 'ssr', did you mean 'sr'?; see 'adiabat list'"),
        (["describe", "optax:adm"], "optax:adm: Optax has no 'adm', did you mean 'adam'?"),
        (["describe", "no.such:Class"], "no.such:Class: there is no module 'no' for 'no.such:Class'"),
        (["doctor", "x"], "unexpected 'x' after 'adiabat doctor'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(adiabat, calls, words, sentence):
    Path("runs/LiH").mkdir(parents=True)
    Path("runs/LiH/config.yaml").touch()
    Path("bad.yaml").write_text("sampler:\n  walker: 5\n")
    before = sorted(Path().rglob("*"))
    code, out, err = adiabat(*words)
    assert code == 2
    assert out == ""
    assert err.startswith(f"adiabat: {sentence}")
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    assert calls == []


def test_no_command_shows_the_help_as_an_error(adiabat):
    code, out, err = adiabat()
    assert (code, out) == (2, "")
    assert "commands:" in err
