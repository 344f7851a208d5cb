"""The text of `adiabat --help` and `adiabat COMMAND --help`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from adiabat.cli.commands import COMMANDS, COMMON, Command
from adiabat.config import FAMILIES, SECTIONS

__all__ = ["columns", "command_help", "program_help"]


def program_help() -> str:
    """What `adiabat --help` prints."""
    commands = columns((name, command.summary) for name, command in COMMANDS.items())
    return (
        "usage: adiabat COMMAND ...\n\n"
        "Energies of molecules by neural-network variational Monte Carlo,\n"
        "relaxation and dynamics of many structures.\n\n"
        f"commands:\n{commands}\n"
        "Start with:\n"
        "  adiabat energy LiH\n"
        "  adiabat relax structures.extxyz --potential lennard-jones\n\n"
        "'adiabat COMMAND --help' tells more; 'adiabat --version' the version.\n"
    )


def command_help(name: str) -> str:
    """What `adiabat NAME --help` prints."""
    command = COMMANDS[name]
    usage = " ".join(
        f"[{item.name}]" if item.optional else f"{item.name}{' ...' * item.many}" for item in command.positionals
    )
    parts = [f"usage: adiabat {name} {usage} [options]".replace("  ", " ") + f"\n\n{command.summary}\n"]
    if command.positionals:
        parts.append(columns((item.name, item.help) for item in command.positionals))
    parts.append("options:\n" + columns(_option_rows(command)))
    if command.takes_settings:
        parts.append(_settings_help(name, command.sections))
    if command.examples:
        parts.append("examples:\n" + "".join(f"  {example}\n" for example in command.examples))
    return "\n".join(parts)


def columns(rows: Iterable[tuple[str, ...]], wrap: int = 0) -> str:
    """Rows of words as aligned columns, indented by two; the last column is wrapped at `wrap` characters."""
    table = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    left = sum(widths[:-1]) + 2 * len(widths)
    lines = []
    for *cells, last in table:
        start = "".join("  " + cell.ljust(width) for cell, width in zip(cells, widths, strict=False)) + "  "
        pieces = textwrap.wrap(last, max(wrap - left, 30)) if wrap else [last]
        lines.append((start + "".join(pieces[:1])).rstrip())
        lines += [" " * left + piece for piece in pieces[1:]]
    return "\n".join(lines) + "\n"


def _option_rows(command: Command) -> Iterable[tuple[str, str]]:
    for option in (*command.options, *COMMON):
        letter = f"{option.letter}, " if option.letter else ""
        yield f"{letter}{option.name} {option.value}".rstrip(), option.help


def _settings_help(name: str, sections: Sequence[str]) -> str:
    families = {family.singular: family for family in FAMILIES.values()}
    rows = [(section, (SECTIONS.get(section) or families[section]).summary) for section in sections]
    return (
        f"settings, as --section.name VALUE; the sections are\n{columns(rows)}"
        f"  'adiabat describe SECTION' lists the settings of one, 'adiabat {name} ... --show-config' all.\n"
    )
