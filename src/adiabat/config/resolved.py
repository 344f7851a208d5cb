"""The settings in effect, as data and as YAML."""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adiabat.config.settings import SettingInfo
from adiabat.config.sources import Origin, Text

__all__ = ["ResolvedSetting", "format_resolved", "plain_value"]


@dataclass(frozen=True)
class ResolvedSetting:
    """One value in effect: its dotted name, the value in plain Python, where it came from, what it means."""

    path: str
    value: Any
    origin: Origin
    info: SettingInfo = field(default_factory=SettingInfo)


def format_resolved(settings: Iterable[ResolvedSetting], *, origins: bool = True) -> str:
    """The settings as YAML, with `origins` each value's source as a comment.

    Given as `--config` the text gives the same values again.
    """
    tree: dict[str, Any] = {}
    for item in settings:
        section = tree
        *scope, name = item.path.split(".")
        for part in scope:
            section = section.setdefault(part, {})
        section[name] = item
    lines = list(_lines(tree, ""))
    width = max((len(text) for text, origin in lines if origin), default=0)
    width = min(width, 60)
    return "".join((f"{text:<{width}}  # {origin}" if origins and origin else text) + "\n" for text, origin in lines)


def plain_value(value: Any) -> Any:
    """A value as YAML can hold it: a tuple as a list, a path as text, an object as `package.module:Class`."""
    if isinstance(value, Mapping):
        return {str(name): plain_value(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain_value(item) for item in value]
    if isinstance(value, enum.Enum):
        return plain_value(value.value)
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def _lines(tree: dict[str, Any], indent: str) -> Iterable[tuple[str, str]]:
    for name, item in tree.items():
        if isinstance(item, ResolvedSetting):
            yield f"{indent}{name}: {_scalar(item.value)}", str(item.origin)
        else:
            yield f"{indent}{name}:", ""
            yield from _lines(item, indent + "  ")


def _scalar(value: Any) -> str:
    """A value as YAML on one line."""
    import yaml

    text = yaml.dump(value, Dumper=_dumper(), default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


@functools.cache
def _dumper() -> type:
    """A YAML writer that quotes words which would be read as 'no value' or as a number."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """SafeDumper but for words."""

    def represent_word(dumper: yaml.SafeDumper, word: str) -> yaml.ScalarNode:
        quoted = Text(word).is_none or _is_number(word)
        return dumper.represent_scalar("tag:yaml.org,2002:str", word, style='"' if quoted else None)

    Dumper.add_representer(str, represent_word)
    return Dumper


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
