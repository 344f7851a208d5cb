"""`adiabat list [FAMILY]`: what can be chosen by name. Imports none of it."""

from __future__ import annotations

from adiabat.cli.arguments import Arguments
from adiabat.cli.help_text import columns
from adiabat.config import FAMILIES, did_you_mean
from adiabat.errors import InputError

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Print the families, or the kinds of one."""
    if not arguments.positionals:
        print(
            columns((name, ", ".join(family.kinds), family.summary) for name, family in FAMILIES.items()),
            end="",
        )
        print("\n'adiabat list FAMILY' says what each one is, 'adiabat describe NAME' which settings it has.")
        return 0
    word = arguments.positionals[0]
    names = [name for name, family in FAMILIES.items() if word.lower() in (name, family.singular)]
    if not names:
        raise InputError(f"unknown family '{word}'{did_you_mean(word, FAMILIES)}; there is {', '.join(FAMILIES)}")
    family = FAMILIES[names[0]]
    print(f"{names[0]}: {family.summary}\n")
    rows = [(name, kind.summary) for name, kind in family.kinds.items()]
    rows += [(f"{package}:NAME", kind.summary) for package, kind in family.foreign.items()]
    print(columns(rows), end="")
    print("\nor your own, as package.module:Class. 'adiabat describe NAME' lists the settings of one.")
    return 0
