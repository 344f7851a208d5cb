"""The folder that holds everything of a run, and the lock that keeps a second process out of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from adiabat.errors import InputError
from adiabat.io.atomic import output_errors, remove_temporary_files, write_json, write_text

try:
    import fcntl
except ImportError:  # no such locks on this system; the run goes on without one
    fcntl = None  # type: ignore[assignment]

__all__ = ["RunFolder"]


class RunFolder:
    """A run's folder: config.yaml, log.txt, metrics/, checkpoints/, plots/, lock, summary.json, digest.npz.

    Looking at it changes nothing. As a context manager (or from `claim` to `release`) it belongs to this
    process: the folder is made, locked, and says whose run it is.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"  # every value in effect
        self.log = self.path / "log.txt"  # what was said during the run
        self.metrics = self.path / "metrics"  # rows of metrics, by stage and format
        self.checkpoints = self.path / "checkpoints"
        self.plots = self.path / "plots"
        self.digest = self.path / "digest.npz"  # results as arrays
        self.summary = self.path / "summary.json"  # results as numbers and words
        self.lock = self.path / "lock"  # locked while a process owns the folder
        self._descriptor: int | None = None
        self._identity: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    # --- looking --------------------------------------------------------------------------------------------

    def read_summary(self) -> dict[str, Any]:
        """The summary; empty if there is none.

        Raises:
            InputError: the file is no summary.
        """
        try:
            text = self.summary.read_text()
        except FileNotFoundError:
            return {}
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{self.summary} is no summary of a run: {error}") from error
        if not isinstance(found, dict):
            raise InputError(f"{self.summary} is no summary of a run: it holds no names and values")
        return found

    def check(self, identity: Mapping[str, Any]) -> None:
        """See whether a run of this identity may write here. Changes nothing.

        Args:
            identity: what cannot change about a run, in words and numbers: {"kind": "energy", "system":
            "LiH", ...}.

        Raises:
            InputError: the folder holds something else, or cannot be written to.
        """
        for parent in (self.path, *self.path.absolute().parents):
            if parent.exists():
                if not parent.is_dir():
                    raise InputError(f"the run folder {self.path} cannot be made: {parent} is a file")
                if not os.access(parent, os.W_OK | os.X_OK):
                    raise InputError(f"the run folder {self.path} cannot be written to: {parent} is write-protected")
                break
        if not self.path.exists():
            return
        summary = self.read_summary()
        if not summary:
            others = sorted(entry.name for entry in self.path.iterdir() if entry.name != self.lock.name)
            if others:
                raise InputError(
                    f"{self.path} holds no run but other things ({', '.join(others[:3])}); name a new or empty folder"
                )
            return
        there = summary.get("identity", {})
        different = [
            f"{name} is {there.get(name)!r} there and {identity.get(name)!r} here"
            for name in dict.fromkeys((*there, *identity))
            if there.get(name) != identity.get(name)
        ]
        if different:
            raise InputError(f"{self.path} holds another run: {'; '.join(different)}; name another folder")

    # --- owning ---------------------------------------------------------------------------------------------

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Make the folder this process's own, after `check`.

        Raises:
            InputError: another process owns it, or `check` refuses.
            OutputError: the folder cannot be made.
        """
        self.check(identity)
        with output_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        try:
            self.check(identity)  # again, because another process may have been here before the lock was taken
            for folder in (self.path, self.metrics, self.checkpoints):
                remove_temporary_files(folder)
            self._identity = dict(identity)
            self.write_summary({**self.read_summary(), "status": "running"})
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let other processes have the folder."""
        if self._descriptor is not None:
            # The file stays: removing it would let two processes lock two files of the same name.
            os.close(self._descriptor)
            self._descriptor = None

    def owned(self, identity: Mapping[str, Any]) -> RunFolder:
        """`with folder.owned(identity):` claims the folder and releases it at the end."""
        self.claim(identity)
        return self

    def __enter__(self) -> RunFolder:
        if self._descriptor is None:
            raise RuntimeError("use `with folder.owned(identity):`")
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def write_config(self, text: str) -> None:
        """Write config.yaml."""
        write_text(self.config, text)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json with the run's identity; numbers that are not finite become null."""
        write_json(self.summary, _finite({"identity": self._identity, **_without_identity(summary)}))

    def _take_lock(self) -> None:
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                # The system drops this lock when the process dies, however it dies: no stale locks.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 64).decode(errors="replace").strip()
            os.close(descriptor)
            raise InputError(f"{self.path} is in use by another process ({owner or 'unknown'})") from None
        os.ftruncate(descriptor, 0)
        with suppress(OSError):
            os.write(descriptor, f"pid {os.getpid()} on {os.uname().nodename}".encode())
        self._descriptor = descriptor


def _without_identity(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name != "identity"}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value
