"""The configuration of a run: typed settings asked for by whoever needs them, from all sources at once."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Mapping
from typing import Any, Optional, TypeVar, get_origin, overload

from adiabat.config.reader import Reader
from adiabat.config.resolved import ResolvedSetting, format_resolved
from adiabat.config.settings import MISSING, Setting, SettingInfo
from adiabat.config.short_names import SHORT_NAMES
from adiabat.config.sources import Node, Text, from_mapping
from adiabat.config.suggestions import closest, question, similar_paths
from adiabat.config.targets import family_for
from adiabat.errors import InputError

__all__ = ["ConfigManager"]

T = TypeVar("T")
_LISTED = 20  # neighbors named in a message


class ConfigManager:
    """Settings of a run, read from sources laid over each other: defaults, files, flags, keywords.

    Whoever needs settings asks for them, in any order: `get` for values and dataclasses, `get_module` for a
    kind with its settings. Asking registers what exists. `finalize`, called before any compute, rejects what
    nobody asked for.

    Args:
        sources: lowest first; from `from_yaml`, `from_flags`, `from_keywords`, `from_mapping`, or mappings.
    """

    def __init__(self, sources: Iterable[Node | Mapping[str, Any]] | Mapping[str, Any] | Node = ()) -> None:
        if isinstance(sources, (Mapping, Node)):
            sources = [sources]
        self._layers = [source if isinstance(source, Node) else from_mapping(source) for source in sources]
        self._reader = Reader()
        self._path = ""

    @property
    def path(self) -> str:
        """Dotted name of the section this manager looks at, '' for the whole."""
        return self._path

    @property
    def name(self) -> str:
        """Last word of `path`."""
        return self._path.rpartition(".")[2]

    def scoped(self, name: str) -> ConfigManager:
        """The same configuration seen from the section `name`; what is read there is registered here too."""
        view = ConfigManager()
        view._layers, view._reader, view._path = self._layers, self._reader, self._join(name)
        return view

    @overload
    def get(self, name: str, what: type[T], default: Any = ..., **info: Any) -> T: ...
    @overload
    def get(self, name: str, what: Any, default: Any = ..., **info: Any) -> Any: ...
    def get(self, name: str, what: Any, default: Any = MISSING, **info: Any) -> Any:
        """Read a value or a whole dataclass.

        Args:
            name: of the setting or section within this scope, may be dotted; '' is the scope itself.
            what: a dataclass, an object of one (its values are the defaults), another type, or a plain
                default value.
            default: default for a plain type; without it the setting is required.
            **info: `help`, `min`, `max`, `above`, `below`, `choices`, `unit`, `kind`, as in `setting`.

        Raises:
            InputError: wrong type, out of range, required and absent; it names file and line or flag.
        """
        path = self._join(name)
        if dataclasses.is_dataclass(what):
            cls, base = (what, None) if isinstance(what, type) else (type(what), what)
            sections = [node for node in self._nodes(path) if not _is_empty(node)]
            default = MISSING if base is None else base
            return self._reader.value(path, sections, Setting(name, cls, None, SettingInfo()), default)
        if _is_type(what):
            type_ = what
        else:
            type_, default = Any if what is None else type(what), what
        setting = Setting(name, type_, None, SettingInfo(**info))
        return self._reader.value(path, self._nodes(path), setting, default)

    def get_module(self, name: str, default: Any = MISSING, *, family: str | None = None, **wired: Any) -> Any:
        """Make an object of the kind that is configured at `name`, with its settings.

        Args:
            name: where the kind and its settings are; '' is the scope itself.
            default: the kind if nothing is configured: a registered name, `package.module:Class`, a class, a
                ready-made object, None.
            family: where names are looked up; by default told from `name` ('optimizer': 'optimizers').
            **wired: arguments that the program gives, passed on as far as the kind takes them; no settings.

        Raises:
            InputError: unknown kind, module or class; a setting of wrong type or out of range.
        """
        path = self._join(name)
        family = family or family_for(path, default)
        type_ = Any if default is not None else Optional[Any]  # noqa: UP045
        setting = Setting(name, type_, None, SettingInfo(kind=family or ""))
        return self._reader.kind(path, self._nodes(path), setting, default, wired=wired)

    def get_modules(self, name: str, default: Any = MISSING, *, family: str, **wired: Any) -> tuple[Any, ...]:
        """Make objects of the kinds that are listed at `name`, each with its settings; otherwise as `get_module`."""
        path = self._join(name)
        setting = Setting(name, tuple[Any, ...], None, SettingInfo(kind=family))
        return self._reader.kinds(path, self._nodes(path), setting, default, wired=wired)

    def origin_of(self, name: str) -> str:
        """Where the highest source that says something at `name` is: a flag, a line of a file; '' if none does."""
        nodes = [node for node in self._nodes(self._join(name)) if not _is_empty(node)]
        return str(_innermost(nodes[-1]).origin) if nodes else ""

    def kind_of(self, name: str) -> str:
        """What the kind chosen by `get_module` at `name` is called, as in `--show-config`; '' before."""
        record = self._reader.records.get(f"{self._join(name)}.kind")
        return "" if record is None else str(record.value)

    def finalize(self) -> None:
        """Reject every setting that was given and that nobody asked for, within this scope.

        Raises:
            InputError: naming each with its file and line or flag, and what may have been meant.
        """
        known = self._known()
        unknown: list[tuple[str, Node]] = []
        for node, path in ((layer, "") for layer in self._layers):
            self._collect_unknown(node, path, unknown)
        unknown = [(path, node) for path, node in unknown if self._holds(path)]
        if unknown:
            raise InputError("; ".join(_unknown(path, node, known) for path, node in unknown))

    def resolved(self) -> list[ResolvedSetting]:
        """Every setting that was asked for, with its value and where it came from, in the order of asking."""
        return [record for path, record in self._reader.records.items() if self._holds(path)]

    def to_yaml(self) -> str:
        """The values in effect as YAML; as `--config` it gives the same configuration."""
        return format_resolved(self.resolved(), origins=False)

    def _join(self, name: str) -> str:
        return ".".join(part for part in (self._path, name) if part)

    def _holds(self, path: str) -> bool:
        return not self._path or path == self._path or path.startswith(self._path + ".")

    def _nodes(self, path: str) -> list[Node]:
        """What each source says at a dotted path, lowest first, leaving out those that say nothing."""
        found = []
        for layer in self._layers:
            node: Node | None = layer
            for part in path.split(".") if path else ():
                node = node.children.get(part) if node else None
            if node is not None:
                found.append(node)
        return found

    def _known(self) -> list[str]:
        """All settings and sections that were asked for, with the sections around them."""
        names: dict[str, None] = {}
        for name in (*self._reader.records, *self._reader.sections):
            parts = name.split(".") if name else []
            names.update(dict.fromkeys(".".join(parts[:end]) for end in range(1, len(parts) + 1)))
        return list(names)

    def _collect_unknown(self, node: Node, path: str, unknown: list[tuple[str, Node]]) -> None:
        """Append what nobody read at or below `path` of one source."""
        if id(node) in self._reader.overruled or path in self._reader.records:
            return
        inside = any(name.startswith(path + ".") for name in (*self._reader.records, *self._reader.sections))
        if isinstance(node.value, dict) and (not path or inside or path in self._reader.sections):
            for name, child in node.value.items():
                self._collect_unknown(child, f"{path}.{name}" if path else name, unknown)
        elif path not in self._reader.sections and not (inside and _is_empty(node)):
            unknown.append((path, node))


def _innermost(node: Node) -> Node:
    """The first value below a node, whose origin says more than that of the section around it."""
    while node.children:
        node = next(iter(node.children.values()))
    return node


def _unknown(path: str, node: Node, known: list[str]) -> str:
    """The sentence about one setting nobody asked for."""
    if any(name.startswith(path + ".") for name in known):
        return f"{node.origin.names(path)}: expected a section with settings, got {node.given}"
    option = node.origin.where.removeprefix("--").replace("-", "_") if node.origin.kind == "flag" else ""
    if not option.startswith(path):
        where = f"{node.origin}: " if node.origin.kind in ("file", "flag") else ""
        hint = question(similar_paths(path, known)) or _neighbors(path, known)
        return f"{where}unknown setting '{path}'{hint}"
    here = [name for names in SHORT_NAMES.values() for name, long in names.items() if long in known]
    short = closest(path, here) if "." not in path else []
    suggestions = ["--" + name for name in short or similar_paths(option, known) or similar_paths(path, known)]
    return f"unknown option {node.origin}{question(suggestions) or _neighbors(option, known)}"


def _neighbors(path: str, known: list[str]) -> str:
    """What there is in the nearest section of an unknown path that looks like nothing known."""
    while path:
        path = path.rpartition(".")[0]
        inside = [name.removeprefix(path).strip(".") for name in known if not path or name.startswith(path + ".")]
        if inside:
            names = list(dict.fromkeys(name.split(".")[0] for name in inside))
            return f"; {repr(path) if path else 'the configuration'} has {', '.join(names[:_LISTED])}"
    return ""


def _is_empty(node: Node) -> bool:
    return node.value is None or (isinstance(node.value, Text) and node.value.is_none)


def _is_type(what: Any) -> bool:
    """Whether `what` is a type (`int`, `int | None`, `Literal[...]`) and not a default value."""
    return isinstance(what, (type, types.UnionType)) or get_origin(what) is not None or what is Any
