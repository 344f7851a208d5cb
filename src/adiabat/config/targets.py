"""From the word a user gives for a kind to the class it names."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adiabat.config.kinds import FAMILIES, Family
from adiabat.config.suggestions import did_you_mean
from adiabat.errors import InputError

__all__ = ["Target", "family_for", "find_target", "is_ours", "load_target", "target_of"]


@dataclass(frozen=True)
class Target:
    """A kind that was chosen: as it is called (`sr`, or `package.module:Class`) and where it lives.

    `maker` is the function that makes the class of a kind of another package (`optax:sgd`) from its name there.
    """

    name: str
    path: str
    maker: str = ""


def family_for(setting: str, default: Any = None) -> str | None:
    """The family the kinds of a setting belong to: by the setting's name, else by its default."""
    word = setting.rpartition(".")[2]
    for name, family in FAMILIES.items():
        if word in (name, family.singular):
            return name
    for name, family in FAMILIES.items():
        if isinstance(default, str) and (default in family.kinds or default in _paths(family)):
            return name
    return None


def find_target(word: str, family_name: str | None, where: str = "", others: Sequence[str] = ()) -> Target:
    """The kind called `word`: a registered name of the family, `package:name` of a package the family takes kinds
    from, or `package.module:Class`. Imports nothing. `others` are words that would have done, too.

    Raises:
        InputError: no such name; the message starts with `where` and lists what there is.
    """
    family = FAMILIES.get(family_name or "")
    if ":" in word:
        return _target_at(word, family)
    if family is not None and word in family.kinds:
        return Target(word, family.kinds[word].target)
    noun = family.singular if family else "kind"
    known = sorted([*family.kinds, *others]) if family else []
    listed = [*known, *(f"{package}:NAME" for package in family.foreign)] if family else []
    choices = f"; there is {', '.join(listed)}, or your own as package.module:Class" if known else ""
    raise InputError(f"{_lead(where)}unknown {noun} '{word}'{did_you_mean(word, known)}{choices}")


def load_target(target: Target, where: str = "") -> Any:
    """Import the class (or function) of a kind.

    Raises:
        InputError: the module or the name in it does not exist, or the user's module fails when imported. An
            error inside adiabat's own modules passes through.
    """
    module_name, _, attribute = target.path.partition(":")
    if not module_name or not attribute:
        raise InputError(f"{_lead(where)}expected package.module:Class, got '{target.path}'")
    if target.maker:
        try:
            return load_target(Target(target.name, target.maker))(attribute)
        except InputError as error:
            raise InputError(f"{_lead(where)}{error}") from error
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (module_name + ".").startswith(f"{error.name}."):
            raise InputError(f"{_lead(where)}there is no module '{error.name}' for '{target.path}'") from error
        if is_ours(module_name):
            raise
        why = f"{type(error).__name__}: {error}"
        raise InputError(f"{_lead(where)}importing '{module_name}' failed with {why}") from error
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            hint = did_you_mean(name, dir(found))
            raise InputError(f"{_lead(where)}the module '{module_name}' has no '{name}'{hint}")
        found = getattr(found, name)
    if not callable(found):
        raise InputError(f"{_lead(where)}expected a class or function, but '{target.path}' is {found!r}")
    return found


def is_ours(module_name: str) -> bool:
    """Whether a module is part of adiabat, so that its failures are not the user's mistakes."""
    return module_name.partition(".")[0] == "adiabat"


def target_of(cls: Any, family_name: str | None) -> Target:
    """The `Target` that names a class, by its short name if it is registered."""
    return _target_at(f"{cls.__module__}:{cls.__qualname__}", FAMILIES.get(family_name or ""))


def _target_at(path: str, family: Family | None) -> Target:
    """The `Target` of `package.module:Class`; `package:module.Class` if the family takes kinds from the package."""
    if family is None:
        return Target(path, path)
    module, _, name = path.partition(":")
    package, _, inner = module.partition(".")
    if package in family.foreign:
        path = f"{package}:{inner}.{name}" if inner else path
        return Target(path, path, family.foreign[package].target)
    return Target(_paths(family).get(path, path), path)


def _paths(family: Family) -> dict[str, str]:
    return {kind.target: name for name, kind in family.kinds.items()}


def _lead(where: str) -> str:
    return f"{where}: " if where else ""
