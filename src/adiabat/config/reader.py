"""Reading typed settings out of several sources laid over each other.

The lowest layer is the defaults, then each source in its order. Of plain values the highest layer that says
something wins; sections are merged name by name; a kind keeps its settings until a higher layer
chooses another.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from adiabat.config.choice import KindChoice, expectation
from adiabat.config.coercion import allows_none, coerce, members
from adiabat.config.kinds import FAMILIES
from adiabat.config.resolved import ResolvedSetting, plain_value
from adiabat.config.settings import MISSING, Setting, SettingInfo, settings_of
from adiabat.config.short_names import SHORT_NAMES
from adiabat.config.sources import DEFAULT, Node, Origin, Text
from adiabat.config.suggestions import closest, did_you_mean
from adiabat.config.targets import is_ours, load_target
from adiabat.errors import AdiabatError, InputError

__all__ = ["Reader"]


@dataclass
class Reader:
    """Reads settings and remembers what was read.

    In all methods `path` is the dotted name, `layers` what the sources say there (lowest first), `default`
    the value if they say nothing and `origin` where that default comes from.

    Attributes:
        records: every setting read, by path.
        sections: paths of the dataclasses and kinds read.
        overruled: ids of nodes that a higher layer made void.
    """

    records: dict[str, ResolvedSetting] = field(default_factory=dict)
    sections: set[str] = field(default_factory=set)
    overruled: set[int] = field(default_factory=set)

    def value(self, path: str, layers: Sequence[Node], setting: Setting, default: Any, origin: Origin = DEFAULT) -> Any:
        """The value of one setting, whatever its type."""
        if setting.info.kind is not None:
            read = self.kinds if _item_type(setting.type) is not None else self.kind
            return read(path, layers, setting, default, origin)
        cls = _dataclass_in(setting.type)
        if cls is not None:
            return self._nested(path, layers, cls, setting, default, origin)
        if not layers:
            value = _required(path, default, setting)
        else:
            value, origin = coerce(layers[-1], setting.type, setting.info, path), layers[-1].origin
        self._record(path, value, origin, setting.info)
        return value

    def kind(
        self,
        path: str,
        layers: Sequence[Node],
        setting: Setting,
        default: Any,
        origin: Origin = DEFAULT,
        wired: dict[str, Any] | None = None,
    ) -> Any:
        """An object of the kind that the layers choose, or a plain value where one is allowed.

        `wired` are arguments of the program, given as far as the kind takes them.
        """
        choice = KindChoice(path, setting)
        if default is not MISSING:
            choice.take_object(default, origin)
        for node in layers:
            choice.take(node)
        self.overruled |= choice.overruled
        if choice.target is None:
            value = _required(path, choice.value, setting)
            self._record(path, value, choice.origin, setting.info)
            return value
        self._record(_join(path, "kind"), choice.target.name, choice.origin, setting.info)
        where = choice.origin.names(path)
        cls = load_target(choice.target, where) if choice.base is None else type(choice.base)
        arguments = _accepted(cls, wired or {})
        return self._section(path, choice.sections, cls, choice.base, choice.base_origin, arguments)

    def kinds(
        self,
        path: str,
        layers: Sequence[Node],
        setting: Setting,
        default: Any,
        origin: Origin = DEFAULT,
        wired: dict[str, Any] | None = None,
    ) -> tuple[Any, ...]:
        """A tuple of kinds, such as the writers; the highest layer gives the whole of it."""
        if layers:
            origin = layers[-1].origin
            items = _items(layers[-1], path, setting)
        else:
            items = tuple(Node(item, origin) for item in _required(path, default, setting))
        one = dataclasses.replace(setting, type=_item_type(setting.type))
        values, written = [], []
        for item in items:
            reader = Reader()
            values.append(reader.kind("", [item], one, MISSING, wired=wired))
            reader.reject_unread(item, path)
            written.append(_tree(reader.records))
        self._record(path, written, origin, setting.info)
        return tuple(values)

    def reject_unread(self, section: Node, path: str) -> None:
        """Reject settings of a list item that its kind does not have."""
        known = dict.fromkeys(record.split(".")[0] for record in self.records)
        for name, node in section.children.items():
            if name not in known:
                hint = did_you_mean(name, known) or f"; there is {', '.join(known)}"
                raise InputError(f"{node.origin.names(path)}: unknown setting '{name}'{hint}")

    def _nested(
        self, path: str, layers: Sequence[Node], cls: Any, setting: Setting, default: Any, origin: Origin
    ) -> Any:
        """A dataclass, or None where the type allows it and the highest layer says so."""
        base = default if isinstance(default, cls) else None
        is_none = default is None and allows_none(setting.type)
        sections: list[Node] = []
        for node in layers:
            if isinstance(node.value, dict) or _is_true(node):
                sections += [node] if isinstance(node.value, dict) else []
                # `--cell --cell.pressure 1` reads as settings of a kind.
                self.overruled |= {
                    id(child) for name, child in node.children.items() if name == "kind" and _is_true(child)
                }
                is_none = False
                continue
            if isinstance(node.value, cls):
                base, is_none = node.value, False
            elif allows_none(setting.type) and _is_none(node):
                base, is_none = None, True
            else:
                names = ", ".join(setting.name for setting in settings_of(cls))
                raise InputError(
                    f"{node.origin.names(path)}: expected a section with settings ({names}), got {node.given}"
                )
            self.overruled.update(id(child) for below in sections for child in below.children.values())
            origin, sections = node.origin, []
        if is_none:
            self._record(path, None, origin, setting.info)
            return None
        return self._section(path, sections, cls, base, origin, {})

    def _section(
        self,
        path: str,
        sections: Sequence[Node],
        cls: Any,
        base: Any,
        origin: Origin,
        arguments: dict[str, Any],
    ) -> Any:
        """An object of `cls` with settings read from `sections`; those of `base` are the defaults."""
        self.sections.add(path)
        values = {}
        for setting in settings_of(cls):
            if setting.name in arguments:
                continue
            layers = [node.children[setting.name] for node in sections if setting.name in node.children]
            if base is None and setting.factory is None and not layers:
                _reject_misspelt(path, setting.name, sections, cls)
            default = setting.default if base is None else getattr(base, setting.name)
            values[setting.name] = self.value(_join(path, setting.name), layers, setting, default, origin)
        unchanged = base is not None and all(getattr(base, name) is value for name, value in values.items())
        if unchanged and not arguments:
            return base
        try:
            if base is not None:
                return dataclasses.replace(base, **values, **arguments)
            return cls(**values, **arguments)
        except AdiabatError:
            raise
        except Exception as error:
            # A ValueError is the class's own check of values that belong together.
            if not isinstance(error, ValueError) and is_ours(cls.__module__):
                raise
            raise InputError(f"{path}: {error}" if path else str(error)) from error

    def _record(self, path: str, value: Any, origin: Origin, info: SettingInfo) -> None:
        self.records[path] = ResolvedSetting(path, plain_value(value), origin, info)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _required(path: str, value: Any, setting: Setting) -> Any:
    if value is MISSING:
        family = FAMILIES.get(setting.info.kind or "")
        choices = "" if family is None or family.number else f": {', '.join(family.kinds)}"
        what = f" ({setting.info.help})" if setting.info.help and not choices else ""
        short = next((name for names in SHORT_NAMES.values() for name, full in names.items() if full == path), None)
        also = f"; its short name is '{short}'" if short else ""
        raise InputError(f"{path} is required: expected {expectation(setting)}{choices}{what}{also}")
    return value


def _reject_misspelt(path: str, required: str, sections: Sequence[Node], cls: Any) -> None:
    """Raise if a section says something unknown that looks like the required setting it does not have."""
    known = {setting.name for setting in settings_of(cls)} | {"kind"}
    for section in sections:
        for name in closest(required, [child for child in section.children if child not in known]):
            where = section.children[name].origin.names(_join(path, name))
            raise InputError(f"{where}: unknown setting, did you mean '{_join(path, required)}'?")


def _items(node: Node, path: str, setting: Setting) -> tuple[Node, ...]:
    """The items of a list of kinds; in one text they are separated by commas."""
    given = node.value.text if isinstance(node.value, Text) else node.value
    if isinstance(given, str):
        if isinstance(node.value, Text) and node.value.is_none:
            return ()
        return tuple(Node(Text(word.strip()), node.origin) for word in given.split(","))
    if isinstance(given, tuple):
        return given
    raise InputError(f"{node.origin.names(path)}: expected a list of {setting.info.kind}, got {node.given}")


def _item_type(type_: Any) -> Any:
    """The element type of a list or tuple, None for anything else."""
    return get_args(type_)[0] if get_origin(type_) in (tuple, list, Sequence) else None


def _dataclass_in(type_: Any) -> Any:
    """The dataclass a setting's type is, alone or beside None."""
    found = [member for member in members(type_) if isinstance(member, type) and dataclasses.is_dataclass(member)]
    return found[0] if found else None


def _is_true(node: Node) -> bool:
    """Whether a section is asked for as it is by default: `cell: true`, or a bare `--cell`."""
    return node.value is True or (isinstance(node.value, Text) and (node.value.bare or node.value.text == "true"))


def _is_none(node: Node) -> bool:
    return node.value is None or (isinstance(node.value, Text) and node.value.is_none)


def _accepted(cls: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the program's arguments that the class takes."""
    if not arguments:
        return {}
    parameters = inspect.signature(cls).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return arguments
    return {name: value for name, value in arguments.items() if name in parameters}


def _tree(records: dict[str, ResolvedSetting]) -> Any:
    """The records of a list item as plain values: `csv`, or `{kind: csv, every: 10}` with its settings."""
    tree: dict[str, Any] = {}
    for path, record in records.items():
        section = tree
        *scope, name = path.split(".")
        for part in scope:
            section = section.setdefault(part, {})
        section[name] = record.value
    return tree["kind"] if set(tree) == {"kind"} else tree
