"""`adiabat describe NAME`: the settings of a kind or a section, with type, default, range and meaning."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from typing import Any

from adiabat.cli.arguments import Arguments
from adiabat.cli.help_text import columns
from adiabat.cli.process import prepare
from adiabat.config import (
    FAMILIES,
    SECTIONS,
    Setting,
    Target,
    did_you_mean,
    expectation,
    find_target,
    load_target,
    settings_of,
    target_of,
)
from adiabat.errors import InputError

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Print what a name stands for; of a name in several families, each."""
    name = arguments.positionals[0]
    found = list(_find(name))
    if not found:
        known = [*SECTIONS, *(kind for family in FAMILIES.values() for kind in family.kinds)]
        raise InputError(f"nothing is called '{name}'{did_you_mean(name, known)}; see 'adiabat list'")
    prepare()
    print("\n".join(_describe(*one) for one in found), end="")
    return 0


def _find(name: str) -> Iterable[tuple[Target, str, str]]:
    """What is called `name`, or is one of what is called so; what it is one of, and a line about it if there is one."""
    if ":" in name:
        takers = (plural for plural in FAMILIES if find_target(name, plural).maker)
        plural = next(takers, None)
        yield find_target(name, plural), FAMILIES[plural].singular if plural else "class", ""
    if name in SECTIONS:
        yield Target(name, SECTIONS[name].target), "section", SECTIONS[name].summary
    for plural, family in FAMILIES.items():
        for word, kind in family.kinds.items():
            if name in (word, plural, family.singular):
                yield Target(word, kind.target), family.singular, kind.summary


def _describe(target: Target, what: str, summary: str) -> str:
    cls = load_target(target, target.name)
    about = summary or (cls.__doc__ or "").strip().partition("\n")[0]
    rows = [_row(setting) for setting in settings_of(cls)]
    heading = f"{target.name} ({what}): {about}\n{target.path}\n\n"
    if not rows:
        return heading + "  no settings\n"
    table = [("setting", "expects", "default", "unit", "meaning"), *rows]
    if not any(unit for _, _, _, unit, _ in rows):
        table = [(*row[:3], row[4]) for row in table]
    return heading + columns(table, wrap=shutil.get_terminal_size((120, 24)).columns)


def _row(setting: Setting) -> tuple[str, ...]:
    default = "required" if setting.factory is None else _show(setting.default, setting.info.kind)
    return setting.name, expectation(setting), default, setting.info.unit, setting.info.help


def _show(value: Any, family: str | None) -> str:
    """A default in few words; an object as its kind with the kind's settings."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_show(item, family) for item in value) + "]"
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return f"{value:g}" if isinstance(value, float) else str(value)
    parts = [f"{setting.name}={_show(getattr(value, setting.name), None)}" for setting in settings_of(type(value))]
    return f"{target_of(type(value), family).name}({', '.join(parts)})"
