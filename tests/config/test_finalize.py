"""What nobody asked for is rejected with a guess at what was meant; what is in effect is written and read."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from some_kinds import SR, Standard

from adiabat.config import ConfigManager, format_resolved, setting
from adiabat.errors import InputError


@dataclass(frozen=True)
class Stage:
    iterations: int = setting(100, min=0)
    burn_in: int = 0
    tags: tuple[str, ...] = ("none", "a b")
    note: str | None = "none"


def ask(cfg):
    """What an energy run asks for, in some order."""
    train = cfg.scoped("train")
    return (
        train.get_module("optimizer", "sr"),
        cfg.get("seed", int, default=0),
        train.get("", Stage),
        cfg.get("evaluate", Stage),
        cfg.get("sampler.walkers", 256, min=1),
        cfg.get("sampler.steps", 10),
    )


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--train.optimiser=sr", "unknown option --train.optimiser, did you mean '--train.optimizer'?"),
        (
            "--train.optimiser.damping=1",
            "unknown option --train.optimiser.damping, did you mean '--train.optimizer.damping'?",
        ),
        (
            "--train.optimizer.dampng=1",
            "unknown option --train.optimizer.dampng, did you mean '--train.optimizer.damping'?",
        ),
        ("--trian.iterations=1", "unknown option --trian.iterations, did you mean '--train.iterations'?"),
        ("--train.sampler.steps=20", "unknown option --train.sampler.steps, did you mean '--sampler.steps'?"),
        ("--walker=1", "unknown option --walker, did you mean '--walkers'?"),
        ("--sead=1", "unknown option --sead, did you mean '--seed'?"),
        (
            "--iterations=1",
            "unknown option --iterations, did you mean '--train.iterations' or '--evaluate.iterations'?",
        ),
        (
            "--evaluate.xyzzy=1",
            "unknown option --evaluate.xyzzy; 'evaluate' has iterations, burn_in, tags, note",
        ),
        ("--train.iterations=5", ""),
    ],
)
def test_unknown_flags_at_any_depth(flags, option, sentence):
    cfg = ConfigManager([flags(option)])
    ask(cfg)
    if not sentence:
        cfg.finalize()
        return
    with pytest.raises(InputError) as caught:
        cfg.finalize()
    assert str(caught.value) == sentence


def test_unknown_keys_of_a_file_are_named_with_their_lines(write):
    cfg = ConfigManager([write("seed: 1\ntrain:\n  optimiser:\n    damping: 1\nsampler: 5\n")])
    ask(cfg)
    with pytest.raises(InputError) as caught:
        cfg.finalize()
    assert str(caught.value) == (
        "run.yaml:3: unknown setting 'train.optimiser', did you mean 'train.optimizer'?; "
        "run.yaml:5: sampler: expected a section with settings, got '5'"
    )


def test_unknown_keywords():
    cfg = ConfigManager({"wavefuncton": "ferminet"})
    cfg.get("wavefunction", "psiformer")
    with pytest.raises(InputError, match="unknown setting 'wavefuncton', did you mean 'wavefunction'"):
        cfg.finalize()


def test_a_scope_finalizes_its_own_part(flags):
    cfg = ConfigManager([flags("--train.x=1", "--other.y=2")])
    ask(cfg)
    with pytest.raises(InputError) as caught:
        cfg.scoped("train").finalize()
    assert "--other.y" not in str(caught.value)


def test_a_scope_knows_its_name():
    train = ConfigManager().scoped("run").scoped("train")
    assert (train.name, train.path) == ("train", "run.train")
    assert ConfigManager().name == ""


def test_written_configuration_gives_the_same_again(write, flags):
    cfg = ConfigManager(
        [
            write("train: {optimizer: {max_norm: {rate: 1e-7, delay: 1e20}}, note: null, tags: [no, '1', x]}"),
            flags("--seed=3", "--train.optimizer.learning_rate=0.3", "--evaluate.note=~x"),
        ]
    )
    before = ask(cfg)
    cfg.finalize()
    for text in (cfg.to_yaml(), format_resolved(cfg.resolved())):
        again = ConfigManager([write(text)])
        assert ask(again) == before
        again.finalize()
        assert again.to_yaml() == cfg.to_yaml()
    assert before[0] == SR(learning_rate=0.3, max_norm=Standard(1e-7, 1e20))
    assert before[2].tags == ("no", "1", "x")


def test_show_config_says_where_each_value_came_from(write, flags):
    cfg = ConfigManager([write("train:\n  burn_in: 7\n"), flags("--sampler.walkers=64")])
    ask(cfg)
    words = [line.split() for line in format_resolved(cfg.resolved()).splitlines()]
    assert ["burn_in:", "7", "#", "run.yaml:2"] in words
    assert ["walkers:", "64", "#", "--sampler.walkers"] in words
    assert ["seed:", "0", "#", "default"] in words
