"""From what a user wrote to a value of the type a setting has, or one clear sentence why not."""

from __future__ import annotations

import dataclasses
import enum
import math
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from adiabat.config.settings import SettingInfo
from adiabat.config.sources import Node, Text, plain
from adiabat.config.suggestions import did_you_mean
from adiabat.config.targets import Target, load_target
from adiabat.errors import InputError

__all__ = ["allows_none", "coerce", "describe_type", "literal_words", "members"]

_NO_INFO = SettingInfo()
_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}
_WORDS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a word",
    Path: "a path",
    type(None): "none",
}


class _Mismatch(Exception):
    """The value does not fit the type; `coerce` makes the sentence."""


def coerce(node: Node, type_: Any, info: SettingInfo, path: str) -> Any:
    """The value of `node` as `type_`, checked against the range and choices of `info`.

    Args:
        node: what the user wrote, with its origin.
        type_: int, float, bool, str, Path, None, Enum, Literal; unions, tuples, lists, dictionaries of these; a
            function, by text as `package.module:function`. `Any` takes what text looks like. For other types a
            Python object passes and text does not.
        info: bounds and choices.
        path: the setting's dotted name, for the message.

    Raises:
        InputError: saying where, what was expected and what was given.
    """
    expected = describe_type(type_, info)
    if isinstance(node.value, Text) and node.value.bare and not _takes_bool(type_):
        raise InputError(f"{node.origin.names(path)}: a value is missing, expected {expected}")
    try:
        value = _convert(node, type_)
        if not _within(value, info):
            raise _Mismatch
    except _Mismatch:
        hint = did_you_mean(str(plain(node)), _choices(type_, info))
        raise InputError(f"{node.origin.names(path)}: expected {expected}, got {node.given}{hint}") from None
    return value


def describe_type(type_: Any, info: SettingInfo = _NO_INFO) -> str:
    """The values a type and its range allow, in words: 'an integer >= 1 or none'."""
    if info.choices is not None:
        return "one of " + ", ".join(repr(choice) for choice in info.choices)
    words = list(dict.fromkeys(_describe(member, info.range) for member in members(type_)))
    if "none" in words:
        words = [word for word in words if word != "none"] + ["none"]
    return " or ".join(words)


def members(type_: Any) -> tuple[Any, ...]:
    """The members of a union; any other type alone."""
    if get_origin(type_) is Annotated:
        type_ = get_args(type_)[0]
    if get_origin(type_) in (Union, types.UnionType):
        return tuple(inner for member in get_args(type_) for inner in members(member))
    return (type(None) if type_ is None else type_,)


def literal_words(type_: Any) -> list[Any]:
    """What the `Literal` members of a type allow."""
    literals = [member for member in members(type_) if get_origin(member) is Literal]
    return [word for literal in literals for word in get_args(literal)]


def allows_none(type_: Any) -> bool:
    """Whether None is a value of the type."""
    return type(None) in members(type_)


def _describe(type_: Any, bounds: str) -> str:
    origin, arguments = get_origin(type_), get_args(type_)
    if type_ in (int, float):
        return f"{_WORDS[type_]} {bounds}".strip()
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return f"{len(arguments)} values: " + ", ".join(_describe(argument, bounds) for argument in arguments)
    if origin in (tuple, list, Sequence) and arguments:
        return f"a list, each {' or '.join(_describe(member, bounds) for member in members(arguments[0]))}"
    if origin in (dict, Mapping):
        return "a mapping of names to values"
    if origin is Callable:
        return "a function as package.module:function"
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return "one of " + ", ".join(repr(member.value) for member in type_)
    if dataclasses.is_dataclass(type_):
        return "settings as 'name: value'"
    return _WORDS.get(type_, "a value")


def _convert(node: Node, type_: Any) -> Any:
    options = members(type_)
    if isinstance(node.value, Text) and node.value.is_none and type(None) in options:
        return None
    options = tuple(sorted(options, key=lambda option: option is str))  # any text is a word, so try that last
    for option in options:
        try:
            return _convert_member(node, option)
        except _Mismatch:
            continue
    raise _Mismatch


def _convert_member(node: Node, type_: Any) -> Any:
    origin = get_origin(type_)
    value = node.value.text if isinstance(node.value, Text) else node.value
    if type_ is type(None):
        if value is None:
            return None
        raise _Mismatch
    if type_ is bool:
        return _to_bool(node)
    if type_ is int or type_ is float:
        return _to_number(value, type_)
    if type_ is str or type_ is Path:
        if not isinstance(value, (str, Path)) or (isinstance(node.value, Text) and node.value.is_none):
            raise _Mismatch
        return type_(value)
    if origin is Literal:
        return _to_choice(node, get_args(type_))
    if origin in (tuple, list, Sequence) or type_ in (tuple, list):
        return _to_sequence(node, origin or type_, get_args(type_))
    if origin in (dict, Mapping) or type_ is dict:
        return _to_dict(node, get_args(type_))
    if origin is Callable:
        return _to_function(node)
    return _to_other(node, type_)


def _to_other(node: Node, type_: Any) -> Any:
    """An Enum, a value without a type, or a Python object, which passes as it is."""
    if type_ is Any:
        return _guess(node)
    is_object = not isinstance(node.value, (Text, str, int, float, dict, tuple))
    if is_object or (isinstance(type_, type) and isinstance(node.value, type_)):
        return node.value
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return type_(_to_choice(node, tuple(item.value for item in type_)))
    raise _Mismatch


def _to_bool(node: Node) -> bool:
    if isinstance(node.value, bool):
        return node.value
    if isinstance(node.value, Text):
        word = node.value.text.strip().lower()
        if node.value.bare or word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise _Mismatch


def _to_number(value: Any, type_: type) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _Mismatch
    try:
        if type_ is int and (isinstance(value, int) or _is_integer_text(value)):
            return int(value)
        number = float(value)
    except (ValueError, OverflowError):
        raise _Mismatch from None
    if not math.isfinite(number) or (type_ is int and not number.is_integer()):
        raise _Mismatch
    return int(number) if type_ is int else number


def _is_integer_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lstrip("+-").replace("_", "").isdigit()


def _to_choice(node: Node, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if not isinstance(node.value, Text) and type(node.value) is type(choice) and node.value == choice:
            return choice
        if isinstance(node.value, Text) and not node.value.bare and node.value.text.strip() == str(choice):
            return choice
    raise _Mismatch


def _to_sequence(node: Node, origin: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | list[Any]:
    if isinstance(node.value, Text) and not node.value.bare:
        words = [word.strip() for word in node.value.text.split(",")] if node.value.text.strip() else []
        items = tuple(Node(Text(word, quoted=node.value.quoted), node.origin) for word in words)
    elif isinstance(node.value, tuple):
        items = node.value
    else:
        raise _Mismatch
    if origin is tuple and arguments and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        if len(items) != len(arguments):
            raise _Mismatch
        return tuple(_convert(item, inner) for item, inner in zip(items, arguments, strict=True))
    inner = arguments[0] if arguments else Any
    values = [_convert(item, inner) for item in items]
    return values if origin is list else tuple(values)


def _to_dict(node: Node, arguments: tuple[Any, ...]) -> dict[str, Any]:
    if not isinstance(node.value, dict):
        raise _Mismatch
    inner = arguments[1] if len(arguments) == 2 else Any
    return {name: _convert(child, inner) for name, child in node.value.items()}


def _to_function(node: Node) -> Any:
    if isinstance(node.value, Text) and ":" in node.value.text:
        return load_target(Target(node.value.text, node.value.text), str(node.origin))
    if callable(node.value):
        return node.value
    raise _Mismatch


def _guess(node: Node) -> Any:
    """A value without a type: text becomes the number, truth value or none it looks like."""
    if isinstance(node.value, dict):
        return {name: _guess(child) for name, child in node.value.items()}
    if isinstance(node.value, tuple):
        return tuple(_guess(item) for item in node.value)
    if not isinstance(node.value, Text) or node.value.quoted:
        return plain(node)
    return _convert(node, Union[None, bool, int, float, str])  # noqa: UP007


def _within(value: Any, info: SettingInfo) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_within(item, info) for item in value)
    return value is None or info.allows(value)


def _takes_bool(type_: Any) -> bool:
    return bool in members(type_) or Any in members(type_)


def _choices(type_: Any, info: SettingInfo) -> list[str]:
    """All words a type allows, to guess at a misspelt one."""
    words = [*(info.choices or ()), *literal_words(type_)]
    for member in members(type_):
        if isinstance(member, type) and issubclass(member, enum.Enum):
            words += [item.value for item in member]
    return [str(word) for word in words]
