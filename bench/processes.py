"""Processes of their own, for what depends on a fresh start: imports, caches, peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import adiabat

ROOT = Path(__file__).resolve().parent.parent
"""Where `bench` is found; children start there."""


class ChildFailed(RuntimeError):
    """A process ended with an error; the message is what it said last."""


def start(*words: str, cache: Path | None = None) -> subprocess.Popen[str]:
    """Start this Python with the same adiabat; its output comes through pipes.

    Parameters
    ----------
    *words : str
        Of Python's command line.
    cache : path, optional
        Folder of compiled programs; None: this process's.
    """
    source = Path(adiabat.__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])}
    if cache is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    return subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def output_of(*words: str, cache: Path | None = None) -> str:
    """What a process prints to standard output until it ends.

    Raises
    ------
    ChildFailed
        It ended with an exit code other than 0.
    """
    with start(*words, cache=cache) as process:
        said, complaint = process.communicate()
    if process.returncode:
        last = complaint.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise ChildFailed(last[0])
    return said


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    with TemporaryDirectory(prefix="adiabat-bench-") as folder:
        yield Path(folder)
