"""Which kind is chosen, when several sources each say something about it.

`optimizer: sr`, `optimizer: {kind: sr, damping: 1e-3}`, `optimizer: {damping: 1e-3}` and, where the family
allows one, a plain number are all ways to say something. Settings belong to the kind chosen so far; choosing
another drops them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_origin

from adiabat.config.coercion import allows_none, coerce, describe_type, literal_words, members
from adiabat.config.kinds import FAMILIES, Family
from adiabat.config.settings import MISSING, Setting, SettingInfo
from adiabat.config.sources import DEFAULT, Node, Origin, Text
from adiabat.config.targets import Target, find_target, target_of
from adiabat.errors import InputError

__all__ = ["KindChoice", "expectation"]


@dataclass
class KindChoice:
    """What the sources taken so far choose: a class (`target`) or a plain `value` (number, word, None, function).

    Args:
        path: dotted name of the setting, for messages.
        setting: its type, range and family.

    Attributes:
        sections: nodes with settings of the chosen kind, lowest first.
        base: a ready-made object of the kind, whose values are the defaults; from `base_origin`.
        overruled: ids of the nodes with settings of kinds no longer chosen.
    """

    path: str
    setting: Setting
    value: Any = MISSING
    target: Target | None = None
    origin: Origin = DEFAULT
    base: Any = None
    base_origin: Origin = DEFAULT
    sections: list[Node] = field(default_factory=list)
    overruled: set[int] = field(default_factory=set)

    def take(self, node: Node) -> None:
        """Let one source have its say over what was chosen before.

        Raises:
            InputError: an unknown kind, a number out of range, settings without a kind.
        """
        if isinstance(node.value, dict):
            self._take_section(node)
        elif isinstance(node.value, Text) and node.value.is_none and allows_none(self.setting.type):
            self._choose_plain(None, node.origin)
        elif self._takes_list and _is_list(node):
            self._choose_plain(coerce(node, tuple[float, ...], self.setting.info, self.path), node.origin)
        elif not isinstance(node.value, (Text, str)):
            self.take_object(node.value, node.origin)
        elif self._allows_number and _is_number(node):
            self._choose_plain(coerce(node, float, self.setting.info, self.path), node.origin)
        else:
            word = coerce(node, str, SettingInfo(), self.path)
            self._choose_word(word.strip(), node.origin)

    def take_object(self, value: Any, origin: Origin) -> None:
        """Take a Python value: a kind's name, its class, a ready-made object, a number, None, a function."""
        if isinstance(value, str):
            self._choose_word(value.strip(), origin)
        elif isinstance(value, type):
            self._choose_target(target_of(value, self.setting.info.kind), origin)
        elif dataclasses.is_dataclass(value):
            self._choose_target(target_of(type(value), self.setting.info.kind), origin)
            self._drop_settings()
            self.base, self.base_origin = value, origin
        elif value is None and allows_none(self.setting.type):
            self._choose_plain(None, origin)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and self._allows_number:
            self._choose_plain(coerce(Node(value, origin), float, self.setting.info, self.path), origin)
        elif value is None or isinstance(value, (bool, int, float, tuple)):
            raise InputError(f"{origin.names(self.path)}: expected {expectation(self.setting)}, got {value!r}")
        else:
            self._choose_plain(value, origin)

    @property
    def _family(self) -> Family | None:
        return FAMILIES.get(self.setting.info.kind or "")

    @property
    def _allows_number(self) -> bool:
        return self._family is not None and self._family.number

    @property
    def _takes_list(self) -> bool:
        """Whether a number for each of several things will do, too."""
        return self._allows_number and any(get_origin(member) is Sequence for member in members(self.setting.type))

    def _take_section(self, node: Node) -> None:
        if "kind" in node.value:
            kind = node.value["kind"]
            self._choose_kind(coerce(kind, str, SettingInfo(), f"{self.path}.kind"), kind.origin)
        elif self.target is None:
            where, default = node.origin.names(self.path), self._family.default if self._family else None
            if self.origin is not DEFAULT and self.value is not None:
                raise InputError(
                    f"{where}: settings, but {self.origin} gives the plain value {self.value!r};"
                    f" say {self.path}.kind beside them"
                )
            if default is None:
                raise InputError(f"{where}: settings, but of which kind? say {self.path}.kind beside them")
            self._choose_kind(default, DEFAULT)
        self.sections.append(node)

    def _choose_word(self, word: str, origin: Origin) -> None:
        words = literal_words(self.setting.type)
        if word in words:
            self._choose_plain(word, origin)
        else:
            self._choose_kind(word, origin, words)

    def _choose_kind(self, word: str, origin: Origin, others: Sequence[str] = ()) -> None:
        self._choose_target(find_target(word.strip(), self.setting.info.kind, origin.names(self.path), others), origin)

    def _choose_target(self, target: Target, origin: Origin) -> None:
        if self.target is None or self.target.path != target.path:
            self._drop_settings()
            self.value, self.base = MISSING, None
        self.target, self.origin = target, origin

    def _choose_plain(self, value: Any, origin: Origin) -> None:
        self._drop_settings()
        self.value, self.target, self.base, self.origin = value, None, None, origin

    def _drop_settings(self) -> None:
        self.overruled.update(id(child) for node in self.sections for child in node.children.values())
        self.sections = []


def expectation(setting: Setting) -> str:
    """What a setting expects, in words: its type and range, or the kinds it is one of."""
    if setting.info.kind is None:
        return describe_type(setting.type, setting.info)
    family = FAMILIES.get(setting.info.kind)
    words = [f"a kind of {family.singular}" if family else "a kind"]
    if family and family.number:
        words.append(describe_type(float, setting.info))
        if any(get_origin(member) is Sequence for member in members(setting.type)):
            words.append("a list of numbers")
    words += map(repr, literal_words(setting.type))
    if allows_none(setting.type):
        words.append("none")
    return " or ".join(words)


def _is_list(node: Node) -> bool:
    return isinstance(node.value, tuple) or (isinstance(node.value, Text) and "," in node.value.text)


def _is_number(node: Node) -> bool:
    try:
        float(node.value.text if isinstance(node.value, Text) else node.value)
    except ValueError:
        return False
    return True
