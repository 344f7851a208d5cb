"""Files, flags and keywords become trees that know where each value was written."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from adiabat.config import ConfigManager, from_keywords, from_mapping, from_yaml, setting
from adiabat.errors import InputError


@dataclass(frozen=True)
class Layers:
    width: int = setting(32, min=1)
    depth: int = 2


@dataclass(frozen=True)
class Train:
    iterations: int = setting(100, min=0)
    note: str | None = None
    layers: Layers = field(default_factory=Layers)
    final: Layers | None = None


def origins(cfg):
    return {record.path: str(record.origin) for record in cfg.resolved()}


def test_later_sources_win_value_by_value(write, flags):
    cfg = ConfigManager([write("train:\n  iterations: 5\n  layers: {depth: 3}\n"), flags("--train.layers.width=8")])
    assert cfg.get("train", Train) == Train(5, None, Layers(8, 3))
    assert origins(cfg) == {
        "train.iterations": "run.yaml:2",
        "train.note": "default",
        "train.layers.width": "--train.layers.width",
        "train.layers.depth": "run.yaml:3",
        "train.final": "default",
    }


def test_an_error_names_file_and_line(write):
    with pytest.raises(InputError) as caught:
        ConfigManager([write("train:\n  note: x\n  iterations: -5\n")]).get("train", Train)
    assert str(caught.value) == "run.yaml:3: train.iterations: expected an integer >= 0, got '-5'"


def test_what_a_flag_overrules_need_not_be_right(write, flags):
    cfg = ConfigManager([write("train: {iterations: many}"), flags("--train.iterations=7")])
    assert cfg.get("train", Train).iterations == 7


def test_keywords_may_be_short_dotted_nested_or_ready_made():
    keywords = from_keywords(walkers=512, train={"layers.width": 4, "note": "x"}, seed=1)
    cfg = ConfigManager([keywords])
    assert cfg.get("sampler.walkers", int, default=1) == 512
    assert cfg.get("train", Train) == Train(note="x", layers=Layers(4))
    assert ConfigManager({"train": Train(9)}).get("train", Train).iterations == 9


def test_a_ready_made_section_can_still_be_changed_by_a_flag(flags):
    cfg = ConfigManager([from_mapping({"train": Train(9, "x")}), flags("--train.note=y")])
    assert cfg.get("train", Train) == Train(9, "y")


def test_values_of_an_object_are_the_defaults(flags):
    assert ConfigManager([flags("--train.note=y")]).get("train", Train(50)) == Train(50, "y")


def test_an_optional_section_can_be_made_and_unmade(write, flags):
    source = write("train: {final: {depth: 5}}")
    assert ConfigManager([source]).get("train", Train).final == Layers(32, 5)
    cfg = ConfigManager([source, flags("--train.final=none")])
    assert cfg.get("train", Train).final is None
    cfg.finalize()


def test_empty_files_and_sections_are_fine(write):
    assert ConfigManager([write("")]).get("train", Train) == Train()
    cfg = ConfigManager([write("train:\nother:\n")])
    assert cfg.get("train", Train) == Train()
    cfg.get("other.x", 1)
    cfg.finalize()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: [1\n", "run.yaml:3: not valid YAML"),
        ("- 1\n- 2\n", "run.yaml: expected settings as 'name: value' lines"),
        ("a: 1\nb: 2\na: 3\n", "run.yaml:3: 'a' is given twice, first at run.yaml:1"),
        ("a: 1\n---\nb: 2\n", "run.yaml:2: not valid YAML"),
        ("a: " + "[" * 2000, "run.yaml: nested too deeply"),
        ("a: &x [*x]\n", "run.yaml:1: nested too deeply"),
        ("? [1, 2]\n: 3\n", "run.yaml:1: expected a word as the name of a setting"),
        ("a..b: 1\n", "run.yaml:1: a..b: expected words joined by single dots"),
        ("a: \x00", "run.yaml: not valid YAML"),
    ],
)
def test_a_bad_file_is_one_sentence(write, text, sentence):
    with pytest.raises(InputError) as caught:
        write(text)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the configuration file 'no.yaml': No such file"):
        from_yaml("no.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        from_yaml(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a text file"):
        from_yaml(tmp_path / "binary")


def test_a_section_is_no_value_and_a_value_no_section(flags):
    with pytest.raises(InputError, match=r"--train: expected a section with settings \(iterations, note"):
        ConfigManager([flags("--train=5")]).get("train", Train)
    with pytest.raises(InputError, match=r"--train.iterations.x: train.iterations: |--train.iterations.x: expected"):
        ConfigManager([flags("--train.iterations.x=5")]).get("train", Train)


def test_dashes_in_flags_are_underscores(flags):
    assert ConfigManager([flags("--a-b.c-d=1")]).get("a_b.c_d", int) == 1
