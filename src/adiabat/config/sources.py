"""Where settings come from: YAML files, flags and Python keywords, each read into one tree of `Node`s.

A node remembers where it was written, so that an error can name the file and line or the flag. Text stays
text here; what it means depends on the type of the setting that reads it (`coercion.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adiabat.config.short_names import SHORT_NAMES, JobName
from adiabat.errors import InputError

__all__ = [
    "DEFAULT",
    "Flag",
    "Node",
    "Origin",
    "Text",
    "from_flags",
    "from_keywords",
    "from_mapping",
    "from_yaml",
    "plain",
]

_DEEPEST = 40


@dataclass(frozen=True)
class Origin:
    """Where a value was written, worded for the user: 'lih.yaml:12', '--train.iterations', 'default'."""

    kind: Literal["default", "file", "flag", "keyword"]
    where: str

    def names(self, path: str) -> str:
        """How a message calls the setting `path` written here."""
        if self.kind == "flag":
            return self.where
        return f"{self.where}: {path}" if self.kind == "file" else path

    def __str__(self) -> str:
        return self.where


DEFAULT = Origin("default", "default")


@dataclass(frozen=True)
class Text:
    """A value as the user wrote it. `quoted` in YAML: surely a word. `bare`: a flag without a value."""

    text: str
    quoted: bool = False
    bare: bool = False

    @property
    def is_none(self) -> bool:
        """Whether this is one of the spellings of 'no value'."""
        return not self.quoted and not self.bare and self.text.strip().lower() in ("", "~", "null", "none")


@dataclass(frozen=True, eq=False)
class Node:
    """A value and its origin: `Text`, a dict of nodes by name, a tuple of nodes, or any Python object."""

    value: Any
    origin: Origin

    @property
    def children(self) -> dict[str, Node]:
        """The nodes below this one by name; empty for anything but a section."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def given(self) -> str:
        """The value as an error message shows it."""
        if isinstance(self.value, Text) and self.value.bare:
            return "nothing"
        value = plain(self)
        return f"'{value}'" if isinstance(value, str) else repr(value)


@dataclass(frozen=True)
class Flag:
    """One option of the command line: the setting, its text (None: no value given), the option as typed."""

    path: str
    text: str | None
    option: str


def from_yaml(path: str | Path) -> Node:
    """Read the settings of a YAML file, remembering each one's line.

    Raises:
        InputError: the file cannot be read, is no valid YAML, is not a mapping, or says something twice.
    """
    name = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the configuration file '{name}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the configuration file '{name}' is not a text file") from error
    node = _parse_yaml(text, name)
    if not isinstance(node.value, dict):
        raise InputError(f"{name}: expected settings as 'name: value' lines, got {node.given}")
    return node


def from_flags(flags: Iterable[Flag]) -> Node:
    """Collect command-line options into a tree. Their order is free; of one given twice the last counts."""
    root = Node({}, Origin("flag", "command line"))
    for flag in flags:
        origin = Origin("flag", flag.option)
        node = Node(Text("", bare=True) if flag.text is None else Text(flag.text), origin)
        if flag.text is not None and flag.text.lstrip()[:1] in ("[", "{"):
            node = _parse_yaml(flag.text, flag.option, origin)
        _insert(root, flag.path.replace("-", "_"), node)
    return root


def from_mapping(mapping: Mapping[str, Any], origin: Origin | None = None) -> Node:
    """Settings given in Python as nested dictionaries; a key may be dotted: `{"train.iterations": 500}`.

    Args:
        mapping: values are numbers, words, lists, dictionaries, or objects such as a ready-made optimizer.
        origin: where they come from, if not from the caller's keywords (the preset of a network size, say).
    """
    return _from_python(dict(mapping), "", origin, 0)


def from_keywords(job: JobName = "energy", /, **settings: Any) -> Node:
    """Settings given as Python keywords, the short ones of the job's command line included: `walkers=512`."""
    return from_mapping({SHORT_NAMES[job].get(name, name): value for name, value in settings.items()})


def plain(node: Node) -> Any:
    """The node without origins, as plain Python values."""
    if isinstance(node.value, dict):
        return {name: plain(child) for name, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    return node.value.text if isinstance(node.value, Text) else node.value


def _insert(root: Node, path: str, node: Node) -> None:
    """Put `node` at the dotted `path`; a word beside settings (`sr` beside `sr`'s damping) is their kind."""
    parts = path.split(".")
    if not all(parts):
        raise InputError(f"{node.origin.names(path)}: expected words joined by single dots")
    section = root
    for part in parts[:-1]:
        child = section.value.get(part)
        if child is None:
            child = Node({}, node.origin)
        elif not isinstance(child.value, dict):
            child = Node({"kind": child}, child.origin)
        section.value[part] = child
        section = child
    present = section.value.get(parts[-1])
    if present is not None and isinstance(present.value, dict):
        if isinstance(node.value, dict):
            for name, child in node.value.items():
                _insert(present, name, child)
        else:
            present.value["kind"] = node
    elif present is not None and isinstance(node.value, dict):
        section.value[parts[-1]] = Node({"kind": present, **node.value}, node.origin)
    else:
        section.value[parts[-1]] = node


def _from_python(value: Any, path: str, origin: Origin | None, depth: int) -> Node:
    here = origin or Origin("keyword", f"keyword {path}" if path else "keywords")
    if depth > _DEEPEST:
        raise InputError(f"{path}: nested too deeply")
    if isinstance(value, Mapping):
        node = Node({}, here)
        for name, child in value.items():
            below = f"{path}.{name}" if path else str(name)
            _insert(node, str(name), _from_python(child, below, origin, depth + 1))
        return node
    if isinstance(value, (list, tuple)):
        return Node(tuple(_from_python(item, path, origin, depth + 1) for item in value), here)
    if isinstance(value, Path):
        return Node(str(value), here)
    if not dataclasses.is_dataclass(value) and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return Node(value.item(), here)  # a NumPy scalar
    return Node(value, here)


def _parse_yaml(text: str, name: str, origin: Origin | None = None) -> Node:
    """YAML text as a tree. Without `origin` each node's origin is its line in the file `name`."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark and origin is None else ""
        raise InputError(f"{name}{line}: not valid YAML, {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not valid YAML, {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise InputError(f"{name}: nested too deeply") from error
    if root is None:
        return Node({}, origin or Origin("file", name))
    return _from_yaml_node(root, name, origin, 0)


def _from_yaml_node(node: Any, name: str, origin: Origin | None, depth: int) -> Node:
    here = origin or Origin("file", f"{name}:{node.start_mark.line + 1}")
    if depth > _DEEPEST:
        raise InputError(f"{here}: nested too deeply")
    if node.id == "scalar":
        return Node(Text(node.value, quoted=node.style in ("'", '"')), here)
    if node.id == "sequence":
        items = [_from_yaml_node(item, name, origin, depth + 1) for item in node.value]
        return Node(tuple(items), here)
    section = Node({}, here)
    written: dict[str, Origin] = {}
    for key, value in node.value:
        child = _from_yaml_node(value, name, origin, depth + 1)
        line = origin or Origin("file", f"{name}:{key.start_mark.line + 1}")
        if key.id != "scalar":
            raise InputError(f"{line}: expected a word as the name of a setting")
        if key.value in written:
            raise InputError(f"{line}: '{key.value}' is given twice, first at {written[key.value]}")
        written[key.value] = line
        _insert(section, key.value, Node(child.value, line) if isinstance(child.value, dict) else child)
    return section
