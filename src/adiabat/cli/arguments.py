"""Reading a command's arguments: its own options, settings of any depth, and what stands alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adiabat.config import Flag, closest
from adiabat.errors import InputError

__all__ = ["Arguments", "Option", "Positional", "count", "parse", "seconds"]


@dataclass(frozen=True)
class Option:
    """One option of a command.

    Args:
        name: as typed, with dashes.
        help: one line.
        value: what its value is called in the help, '' for a switch.
        letter: one-letter form.
        setting: the setting it stands for; its value is then checked by the configuration.
        convert: makes the value from text; raises `ValueError` saying what was expected.
        many: may be given several times; the value is a list.
    """

    name: str
    help: str
    value: str = ""
    letter: str = ""
    setting: str = ""
    convert: Callable[[str], Any] = str
    many: bool = False

    @property
    def key(self) -> str:
        """Name in `Arguments.options`."""
        return self.name.removeprefix("--").replace("-", "_")


@dataclass(frozen=True)
class Positional:
    """What a command takes without a dash: its name in the help, what it is, whether it may be left out, and whether
    several may be given (the last one only)."""

    name: str
    help: str
    optional: bool = False
    many: bool = False


@dataclass
class Arguments:
    """What was typed: `positionals` in order, `options` by name (absent: not given), `settings` as flags."""

    command: str
    positionals: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    settings: list[Flag] = field(default_factory=list)

    @property
    def verbosity(self) -> int:
        """-1 for quiet, 1 for verbose, else 0."""
        return int("verbose" in self.options) - int("quiet" in self.options)


def parse(
    command: str,
    tokens: Sequence[str],
    options: Sequence[Option],
    positionals: Sequence[Positional] = (),
    *,
    takes_settings: bool = False,
) -> Arguments:
    """Read the tokens after the command's name.

    `--name value` and `--name=value` are the same. With `takes_settings` any other `--a.b.c` is a setting for
    the configuration to judge; without a value (the next token is an option, or none is left) it is a switch.

    Raises:
        InputError: unknown option, missing or unexpected value, too few or too many positionals.
    """
    by_name = {name: option for option in options for name in (option.name, option.letter) if name}
    parsed = Arguments(command)
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == "--":
            parsed.positionals += rest
            break
        if not _is_option(token):
            parsed.positionals.append(token)
            continue
        name, equals, text = token.partition("=")
        value = text if equals else None
        option = by_name.get(name)
        if option is None:
            _reject_unknown(name, command, options, takes_settings)
        takes_value = option is None or option.value != ""
        if value is None and takes_value and rest and not _is_option(rest[0]):
            value = rest.pop(0)
        if option is None or option.setting:
            path = option.setting if option else name.removeprefix("--")
            parsed.settings.append(Flag(path, value, name))
        else:
            _store(parsed.options, option, name, value)
    _check_positionals(parsed, positionals)
    return parsed


def seconds(text: str) -> float:
    """A time span: '90', '90s', '10m', '1h30m'; in seconds."""
    number = r"(\d+(?:\.\d*)?)"
    found = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s?)?", text.strip())
    hours, minutes, rest = (float(part or 0) for part in (found.groups() if found else "000"))
    total = 3600 * hours + 60 * minutes + rest
    if total <= 0:
        raise ValueError("a time such as 90, 10m or 1h30m")
    return total


def count(text: str) -> int:
    """A positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("an integer >= 1")
    return int(text)


def _is_option(token: str) -> bool:
    """Options begin with a dash; a negative number is a value, a lone dash too."""
    return token.startswith("-") and not re.match(r"-(\.?\d|$)", token)


def _reject_unknown(name: str, command: str, options: Sequence[Option], takes_settings: bool) -> None:
    """Raise for an option that cannot be a setting, or that is an option misspelt."""
    names = [option.name.removeprefix("--") for option in options]
    meant = closest(name.strip("-"), names, likeness=0.8 if takes_settings else 0.6)
    if not takes_settings or not name.startswith("--") or (meant and "." not in name):
        hint = f", did you mean '--{meant[0]}'?" if meant else f"; see 'adiabat {command} --help'"
        raise InputError(f"unknown option {name}{hint}")


def _store(stored: dict[str, Any], option: Option, name: str, text: str | None) -> None:
    if not option.value:
        if text is not None:
            raise InputError(f"{name} takes no value, got '{text}'")
        stored[option.key] = True
        return
    if text is None:
        raise InputError(f"{name}: a value is missing ({option.value}: {option.help})")
    try:
        value = option.convert(text)
    except ValueError as error:
        raise InputError(f"{name}: expected {error}, got '{text}'") from None
    if option.many:
        stored.setdefault(option.key, []).append(value)
    else:
        stored[option.key] = value


def _check_positionals(parsed: Arguments, positionals: Sequence[Positional]) -> None:
    given = len(parsed.positionals)
    for positional in positionals[given:]:
        if not positional.optional:
            raise InputError(f"{parsed.command} needs a {positional.name}: {positional.help}")
    if given > len(positionals) and not (positionals and positionals[-1].many):
        extra = parsed.positionals[len(positionals)]
        quote = "; put quotes around a structure given inline" if parsed.command == "energy" else ""
        raise InputError(f"unexpected '{extra}' after 'adiabat {parsed.command}'{quote}")
