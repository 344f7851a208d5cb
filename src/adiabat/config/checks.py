"""Checking settings of objects that are made in Python, past any file or flag."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from adiabat.config.choice import expectation
from adiabat.config.coercion import literal_words, members
from adiabat.config.settings import settings_of
from adiabat.config.suggestions import did_you_mean
from adiabat.errors import InputError

__all__ = ["check_settings"]


def check_settings(settings: Any) -> None:
    """Check ranges, choices and kinds of numbers of a dataclass made of `setting` fields; for its `__post_init__`.

    Raises:
        InputError: naming class, field, what was expected and what was given.
    """
    for field in settings_of(type(settings)):
        value = getattr(settings, field.name)
        items = value if isinstance(value, tuple) else (value,)
        fits = _is_of_plain_type(value, field.type) and not _is_unknown_word(value, field.type)
        if not fits or not all(field.info.allows(item) for item in items):
            expected = expectation(field)
            hint = did_you_mean(value, literal_words(field.type)) if isinstance(value, str) else ""
            raise InputError(f"{type(settings).__name__}.{field.name}: expected {expected}, got {value!r}{hint}")


def _is_of_plain_type(value: Any, type_: Any) -> bool:
    """Whether a value is what a type of numbers and truth values allows; True for all other types."""
    plain = set(members(type_))
    if not plain <= {bool, int, float, type(None)}:
        return True
    if value is None:
        return type(None) in plain
    if isinstance(value, bool):
        return bool in plain
    return (float in plain and isinstance(value, Real)) or (int in plain and isinstance(value, Integral))


def _is_unknown_word(value: Any, type_: Any) -> bool:
    """Whether a word is given where a `Literal` allows certain others only."""
    words = literal_words(type_)
    return bool(words) and isinstance(value, str) and str not in members(type_) and value not in words
