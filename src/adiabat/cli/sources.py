"""From parsed arguments to the configuration of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adiabat.cli.arguments import Arguments
from adiabat.config import ConfigManager, Node, closest, format_resolved, from_flags, from_yaml
from adiabat.errors import InputError

__all__ = ["configuration", "print_configuration", "run_folder"]


def configuration(arguments: Arguments, *below: Node, above: Sequence[Node] = ()) -> ConfigManager:
    """The sources in their order: those `below`, the files of `--config`, the flags, those `above`."""
    files = [from_yaml(path) for path in arguments.options.get("config", ())]
    return ConfigManager([*below, *files, from_flags(arguments.settings), *above])


def print_configuration(cfg: ConfigManager) -> None:
    """Print every setting in effect and where it comes from, as YAML."""
    print(format_resolved(cfg.resolved()), end="")


def run_folder(name: str) -> Path:
    """The folder of an earlier run.

    Raises:
        InputError: there is none; the message guesses at which was meant.
    """
    folder = Path(name)
    if not folder.is_dir():
        near = [str(path) for parent in {folder.parent, Path("runs")} if parent.is_dir() for path in parent.iterdir()]
        guess = closest(name, near) or closest(str(Path("runs") / name), near)
        hint = f", did you mean '{guess[0]}'?" if guess else ""
        raise InputError(f"there is no run folder '{name}'{hint}")
    if not (folder / "config.yaml").is_file():
        raise InputError(f"'{name}' is no run folder: it has no config.yaml")
    return folder
