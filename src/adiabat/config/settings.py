"""Settings: the fields of a dataclass that a user may set, with what they mean and which values they take."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adiabat.errors import InputError

__all__ = ["MISSING", "Setting", "SettingInfo", "setting", "settings_of", "wired"]


class _Missing:
    """The type of `MISSING`, which stands for a value that was not given where None is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()
_INFO = "adiabat.setting"
_WIRED = "adiabat.wired"


@dataclass(frozen=True)
class SettingInfo:
    """What is known of a setting besides its type and default; all of it optional.

    `min` and `max` are inclusive, `above` and `below` exclusive; bounds hold for each element of a tuple.
    `kind` names the family (of `kinds.py`) the value is chosen from.
    """

    help: str = ""
    min: int | float | None = None
    max: int | float | None = None
    above: int | float | None = None
    below: int | float | None = None
    choices: tuple[Any, ...] | None = None
    unit: str = ""
    kind: str | None = None

    @property
    def range(self) -> str:
        """The allowed range, '' without bounds: '>= 1 and < 10'."""
        bounds = [(">=", self.min), (">", self.above), ("<=", self.max), ("<", self.below)]
        return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    def allows(self, value: Any) -> bool:
        """Whether `value` is among the choices and within the bounds (what is no number has none)."""
        if self.choices is not None and value not in self.choices:
            return False
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return True
        return (
            (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def setting(
    default: Any = MISSING,
    *,
    factory: Callable[[], Any] | None = None,
    help: str = "",  # noqa: A002
    min: int | float | None = None,  # noqa: A002
    max: int | float | None = None,  # noqa: A002
    above: int | float | None = None,
    below: int | float | None = None,
    choices: tuple[Any, ...] | None = None,
    unit: str = "",
    kind: str | None = None,
) -> Any:
    """A dataclass field that a user may set by file, flag or keyword.

    Args:
        default: value when nothing else is said; without it (and without `factory`) the setting is required.
        factory: makes the default anew for each object, for defaults that can change.
        help: one line for `adiabat describe`.
        min, max: inclusive bounds of a number, or of each number of a tuple.
        above, below: exclusive bounds.
        choices: the values allowed; for words prefer a `Literal` type.
        unit: as printed, for example "bohr".
        kind: family of kinds the value is one of ("optimizers", ...). A schedule may be a number too.
    """
    info = SettingInfo(help, min, max, above, below, choices, unit, kind)
    options: dict[str, Any] = {"metadata": {_INFO: info}}
    if factory is not None:
        options["default_factory"] = factory
    elif default is not MISSING:
        options["default"] = default
    return dataclasses.field(**options)


WIRED = {_WIRED: True}
"""Metadata of a dataclass field that is no setting, for fields that `wired` cannot make."""


def wired(default: Any = None) -> Any:
    """A dataclass field that the program fills in (a function, a molecule); it is no setting."""
    return dataclasses.field(default=default, repr=False, compare=False, metadata=WIRED)


@dataclass(frozen=True)
class Setting:
    """One setting of a class; `factory` makes its default, None if the setting is required."""

    name: str
    type: Any
    factory: Callable[[], Any] | None
    info: SettingInfo

    @property
    def default(self) -> Any:
        """The default, made anew; `MISSING` if the setting is required."""
        return MISSING if self.factory is None else self.factory()


def settings_of(target: Any) -> tuple[Setting, ...]:
    """The settings of a dataclass: all fields but the wired ones. Of other callables: the keyword parameters.

    Raises:
        InputError: the signature cannot be read, as of some built-in classes.
    """
    try:
        return _settings_of(target)
    except (TypeError, ValueError) as error:
        raise InputError(f"the settings of {target!r} cannot be read: {error}") from error


@functools.cache
def _settings_of(target: Any) -> tuple[Setting, ...]:
    if dataclasses.is_dataclass(target):
        owner = target if isinstance(target, type) else type(target)
        return tuple(
            _field_setting(owner, field)
            for field in dataclasses.fields(target)
            if field.init and not field.metadata.get(_WIRED, False)
        )
    names = _names_in(target)
    return tuple(
        _parameter_setting(parameter, names)
        for parameter in inspect.signature(target).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    )


def _field_setting(owner: type, field: dataclasses.Field[Any]) -> Setting:
    info = field.metadata.get(_INFO, SettingInfo())
    return Setting(field.name, _field_type(owner, field), _field_factory(field), info)


def _parameter_setting(parameter: inspect.Parameter, names: dict[str, Any]) -> Setting:
    factory = None if parameter.default is parameter.empty else _always(parameter.default)
    annotation = Any if parameter.annotation is parameter.empty else _evaluate(parameter.annotation, names)
    return Setting(parameter.name, annotation, factory, SettingInfo())


def _field_factory(field: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    return None if field.default is dataclasses.MISSING else _always(field.default)


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


def _field_type(owner: type, field: dataclasses.Field[Any]) -> Any:
    """The evaluated type of a field, looked up in the module of the class that declares it."""
    if not isinstance(field.type, str):
        return field.type
    declaring = next(base for base in owner.__mro__ if field.name in inspect.get_annotations(base))
    return _evaluate(field.type, {**_names_in(declaring), declaring.__name__: declaring})


def _names_in(target: Any) -> dict[str, Any]:
    """The names that annotations of a class or function may use: those of its module."""
    module = sys.modules.get(getattr(target, "__module__", ""))
    return vars(module) if module else {}


def _evaluate(annotation: Any, names: dict[str, Any]) -> Any:
    """An annotation as a type; `Any` for one whose names exist for type checkers only."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)  # the source is our own or the user's class, already imported
    except (NameError, AttributeError, TypeError, SyntaxError):
        return Any
