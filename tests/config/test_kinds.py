"""A kind and its settings: chosen by name or path, layered over several sources, with schedules inside."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from some_kinds import CSV, SR, Adam, Console, Plain, Standard

from adiabat.config import FAMILIES, ConfigManager, Kind, setting
from adiabat.errors import InputError


def test_a_kind_by_name_and_settings_in_every_notation(write, flags):
    expected = SR(damping=0.01)
    for source in (
        write("optimizer: {kind: sr, damping: 0.01}"),
        write("optimizer: {damping: 1e-2}"),
        write("optimizer.damping: 1e-2"),
        flags("--optimizer=sr", "--optimizer.damping=1e-2"),
        flags("--optimizer.damping=1e-2", "--optimizer=sr"),
        flags("--optimizer={kind: sr, damping: 1e-2}"),
        {"optimizer": SR(damping=0.01)},
        {"optimizer": {"kind": "some_kinds:SR", "damping": 0.01}},
    ):
        cfg = ConfigManager([source])
        assert cfg.get_module("optimizer", "sr") == expected
        cfg.finalize()


def test_another_kind_drops_the_settings_of_the_old_one(write, flags):
    cfg = ConfigManager([write("optimizer: {kind: sr, damping: 5}"), flags("--optimizer=adam", "--optimizer.b1=0.5")])
    assert cfg.get_module("optimizer", "sr") == Adam(b1=0.5)
    cfg.finalize()
    assert [record.path for record in cfg.resolved()] == [
        "optimizer.kind",
        "optimizer.learning_rate",
        "optimizer.b1",
    ]


def test_the_same_kind_keeps_them(write, flags):
    for flag in ("--optimizer=sr", "--optimizer=some_kinds:SR"):
        cfg = ConfigManager([write("optimizer: {kind: sr, damping: 5}"), flags(flag)])
        assert cfg.get_module("optimizer", "adam") == SR(damping=5)


def test_a_setting_of_another_kind_is_unknown(flags):
    cfg = ConfigManager([flags("--optimizer=adam", "--optimizer.damping=5")])
    cfg.get_module("optimizer", "sr")
    with pytest.raises(
        InputError, match=r"unknown option --optimizer.damping; 'optimizer' has kind, learning_rate, b1"
    ):
        cfg.finalize()


def test_unknown_kinds_and_modules_are_sentences(flags):
    for flag, sentence in [
        (
            "--optimizer=srr",
            "--optimizer: unknown optimizer 'srr', did you mean 'sr'?; there is adam, kfac, lamb, sr, optax:NAME, or",
        ),
        ("--optimizer=psifomer.x:Y", "--optimizer: there is no module 'psifomer' for 'psifomer.x:Y'"),
        (
            "--optimizer=some_kinds:Adm",
            "--optimizer: the module 'some_kinds' has no 'Adm', did you mean 'Adam'?",
        ),
        ("--optimizer=some_kinds:", "--optimizer: expected package.module:Class, got 'some_kinds:'"),
        ("--optimizer=", "--optimizer: expected a word, got ''"),
    ]:
        with pytest.raises(InputError) as caught:
            ConfigManager([flags(flag)]).get_module("optimizer", "sr")
        assert str(caught.value).startswith(sentence)


def test_a_users_module_that_fails_is_a_sentence(flags, tmp_path, monkeypatch):
    (tmp_path / "broken_kind.py").write_text("import no_such_package")
    (tmp_path / "strict_kind.py").write_text("def make(width=1):\n    raise TypeError('width is no width')")
    monkeypatch.syspath_prepend(tmp_path)
    for flag, sentence in [
        (
            "broken_kind:X",
            "--optimizer: importing 'broken_kind' failed with ModuleNotFoundError: No module named",
        ),
        ("strict_kind:make", "optimizer: width is no width"),
        ("builtins:dict", "the settings of <class 'dict'> cannot be read: no signature found"),
    ]:
        with pytest.raises(InputError) as caught:
            ConfigManager([flags(f"--optimizer={flag}")]).get_module("optimizer", "sr")
        assert str(caught.value).startswith(sentence)


def test_the_program_wires_what_is_no_setting(flags):
    cfg = ConfigManager([flags("--optimizer.damping=2")])
    optimizer = cfg.get_module("optimizer", "sr", f_log_psi=len, unknown_to_sr=1)
    assert optimizer.f_log_psi is len
    assert "f_log_psi" not in cfg.to_yaml()
    other = ConfigManager([flags("--optimizer.f_log_psi=2")])
    other.get_module("optimizer", "sr")
    with pytest.raises(InputError, match=r"unknown option --optimizer.f_log_psi"):
        other.finalize()


def test_defaults_may_be_a_class_an_object_or_none(flags):
    assert ConfigManager().get_module("optimizer", Adam) == Adam()
    ready = Adam(b1=0.1)
    assert ConfigManager().get_module("optimizer", ready) is ready
    assert ConfigManager([flags("--optimizer.learning_rate=1")]).get_module("optimizer", ready) == Adam(1.0, 0.1)
    assert ConfigManager().get_module("optimizer", None) is None
    with pytest.raises(InputError, match="optimizer is required: expected a kind of optimizer"):
        ConfigManager().get_module("optimizer")


def test_a_class_without_settings_of_its_own_takes_its_keywords(flags):
    cfg = ConfigManager([flags("--sampler=some_kinds:Plain", "--sampler.width=0.5")])
    sampler = cfg.get_module("sampler", "mcmc")
    assert isinstance(sampler, Plain)
    assert (sampler.width, sampler.moves) == (0.5, 10)
    with pytest.raises(InputError, match=r"sampler.width is required: expected a number"):
        ConfigManager([flags("--sampler=some_kinds:Plain")]).get_module("sampler")


def test_a_required_setting_that_is_misspelt_is_guessed_at(flags):
    cfg = ConfigManager([flags("--sampler=some_kinds:Plain", "--sampler.widht=0.5")])
    with pytest.raises(InputError) as caught:
        cfg.get_module("sampler", "mcmc")
    assert str(caught.value) == "--sampler.widht: unknown setting, did you mean 'sampler.width'?"


def test_a_package_with_kinds_of_the_family_makes_them_by_name(flags, monkeypatch):
    foreign = Kind("some_kinds:of_the_shop", "of the tests")
    monkeypatch.setitem(FAMILIES["samplers"].foreign, "shop", foreign)
    cfg = ConfigManager([flags("--sampler=shop:wide", "--sampler.width=0.5")])
    assert cfg.get_module("sampler", "mcmc").width == 0.5
    assert cfg.kind_of("sampler") == "shop:wide"
    with pytest.raises(InputError, match=r"^--sampler: the shop has no 'tall'$"):
        ConfigManager([flags("--sampler=shop:tall")]).get_module("sampler", "mcmc")
    with pytest.raises(InputError, match="there is mcmc, shop:NAME, or your own"):
        ConfigManager([flags("--sampler=wide")]).get_module("sampler", "mcmc")


@pytest.mark.parametrize(
    ("options", "schedule"),
    [
        ([], Standard(rate=0.1)),
        (["--optimizer.learning_rate=0.2"], 0.2),
        (["--optimizer.learning_rate.delay=10"], Standard(rate=0.1, delay=10)),
        (["--optimizer.learning_rate={kind: standard, rate: 3}"], Standard(rate=3)),
        (["--optimizer.learning_rate=standard"], Standard(rate=0.1)),
        (["--optimizer.learning_rate=some_kinds:Standard"], Standard(rate=0.1)),
    ],
)
def test_a_schedule_is_a_number_or_a_kind(flags, options, schedule):
    cfg = ConfigManager([flags(*options)])
    assert cfg.get_module("optimizer", "sr").learning_rate == schedule
    cfg.finalize()


def test_a_schedule_over_a_number_or_none(write, flags):
    cfg = ConfigManager([flags("--optimizer.max_norm.rate=2")])
    assert cfg.get_module("optimizer", "sr").max_norm == Standard(rate=2)
    cfg = ConfigManager([write("optimizer: {max_norm: {rate: 2}}"), flags("--optimizer.max_norm=none")])
    assert cfg.get_module("optimizer", "sr").max_norm is None
    cfg.finalize()
    cfg = ConfigManager([write("optimizer: {max_norm: 2}"), flags("--optimizer.max_norm.delay=3")])
    with pytest.raises(InputError, match=r"settings, but run.yaml:1 gives the plain value 2.0; say optimizer.max_no"):
        cfg.get_module("optimizer", "sr")


def test_a_word_may_stand_beside_kinds(write, flags):
    for cfg in (
        ConfigManager([flags("--optimizer.max_norm=fixed")]),
        ConfigManager([write("optimizer: {max_norm: fixed}")]),
        ConfigManager({"optimizer": {"max_norm": "fixed"}}),
        ConfigManager({"optimizer": SR(max_norm="fixed")}),
        ConfigManager([write("optimizer: {max_norm: {rate: 2}}"), flags("--optimizer.max_norm=fixed")]),
    ):
        assert cfg.get_module("optimizer", "sr").max_norm == "fixed"
        cfg.finalize()
        assert ConfigManager([write(cfg.to_yaml())]).get_module("optimizer", "sr").max_norm == "fixed"
    cfg = ConfigManager([flags("--optimizer.max_norm=fixd")])
    with pytest.raises(InputError, match=r"unknown schedule 'fixd', did you mean 'fixed'.* there is .*fixed, "):
        cfg.get_module("optimizer", "sr")


def test_a_function_serves_as_a_schedule_in_python():
    cfg = ConfigManager({"optimizer": {"learning_rate": abs}})
    assert cfg.get_module("optimizer", "sr").learning_rate is abs


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("=-1", ": expected a number > 0, got '-1'"),
        (
            "=fast",
            ": unknown schedule 'fast'; there is auto, constant, cosine, linear, piecewise, standard, warmup, or ",
        ),
        (".rate=0", ": expected a number > 0, got '0'"),
        ("=[1]", ": expected a kind of schedule or a number > 0, got "),
    ],
)
def test_a_wrong_schedule_is_a_sentence(flags, flag, sentence):
    with pytest.raises(InputError) as caught:
        ConfigManager([flags("--optimizer.learning_rate" + flag)]).get_module("optimizer", "sr")
    assert str(caught.value).startswith("--optimizer.learning_rate" + flag.partition("=")[0] + sentence)


@dataclass(frozen=True)
class Output:
    writers: tuple[object, ...] = setting(("console", "csv"), kind="writers")


def test_a_list_of_kinds(write, flags):
    assert ConfigManager().get("", Output).writers == (Console(), CSV())
    assert ConfigManager([flags("--writers=csv")]).get("", Output).writers == (CSV(),)
    assert ConfigManager([flags("--writers=none")]).get("", Output).writers == ()
    cfg = ConfigManager([write("writers:\n- console\n- {kind: csv, every: 5}\n")])
    assert cfg.get("", Output).writers == (Console(), CSV(5))
    cfg.finalize()
    again = ConfigManager([write(cfg.to_yaml())])
    assert again.get("", Output) == cfg.get("", Output)
    with pytest.raises(InputError, match=r"run.yaml:1: writers: unknown setting 'evry', did you mean 'every'"):
        ConfigManager([write("writers: [{kind: csv, evry: 5}]")]).get("", Output)


def test_a_class_that_rejects_its_values_gives_a_sentence(flags):
    @dataclass
    class Pair:
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError(f"low {self.low} is above high {self.high}")

    with pytest.raises(InputError, match="pair: low 5 is above high 1"):
        ConfigManager([flags("--pair.low=5")]).get("pair", Pair)
