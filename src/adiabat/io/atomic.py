"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from adiabat.errors import OutputError

__all__ = ["TEMPORARY", "atomic_file", "output_errors", "remove_temporary_files", "write_json", "write_text"]

TEMPORARY = ".unfinished"


@contextmanager
def atomic_file(path: Path | str) -> Iterator[IO[bytes]]:
    """A binary file to write to, which becomes `path` when the block ends well.

    The bytes go to a temporary file in the same folder, are forced to disk, and take the name in one step, so
    whatever happens `path` is the old file or the new one. After an error the temporary file is gone.

    Raises:
        OutputError: the file cannot be written; what was there before is intact.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with output_errors(path):
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file in UTF-8, atomically."""
    with atomic_file(path) as file:
        file.write(text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write a value as indented JSON, atomically. Non-finite numbers must have been dealt with (ValueError)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def remove_temporary_files(folder: Path | str) -> None:
    """Remove what a killed process left half-written. Only for the process that owns the folder."""
    for left in Path(folder).glob(f".*{TEMPORARY}"):
        with suppress(OSError):
            left.unlink()


@contextmanager
def output_errors(path: Path | str) -> Iterator[None]:
    """Turn the operating system's errors while writing `path` into an `OutputError` that names it."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"could not write {path}: {reason}; what was there before is intact") from error


def _sync_folder(folder: Path) -> None:
    """Force the folder's list of names to disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
