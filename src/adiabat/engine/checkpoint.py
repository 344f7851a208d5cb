"""Checkpoints: atomic files with a checksum an array, ordered by number, rotated, and read back with suspicion."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import jax
import jax.numpy as jnp
import numpy as np

from adiabat.engine.state import PyTree
from adiabat.errors import InputError
from adiabat.io.atomic import atomic_file, output_errors, remove_temporary_files

__all__ = ["CheckpointDamaged", "Checkpoints", "Saved"]

FORMAT = 1
MANIFEST = "manifest.json"
NAME = re.compile(r"(?:end-of-(?P<stage>.+)-)?step-(?P<step>\d+)\.npz")


class CheckpointDamaged(Exception):
    """A checkpoint file that is not what was written."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was read and found intact."""

    path: Path
    step: int
    arrays: Mapping[str, np.ndarray]  # by path in the tree: "systems/walkers"
    manifest: Mapping[str, Any]

    def fill(self, template: PyTree) -> PyTree:
        """The saved arrays in the structure of `template`, whose leaves' shapes and dtypes they must have."""
        entries = self.manifest["arrays"]
        leaves, structure = jax.tree.flatten(template)
        filled = [
            _from_plain(self.arrays[path], entries[path], leaf)
            for path, leaf in zip(described(template), leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, filled)

    @property
    def described(self) -> dict[str, str]:
        """Path, dtype and shape of every array, as `described` gives them."""
        return {path: entry["described"] for path, entry in self.manifest["arrays"].items()}


class Checkpoints:
    """The checkpoints of one run, in one folder.

    Args:
        folder: where they are; made when the first one is written.
        step_interval: a checkpoint is due after this many steps ...
        time_interval: ... and this many seconds: when both have passed since the last one.
        keep: how many of the newest are kept.
        keep_every: also keep those that are the first after each multiple of so many steps.

    The ends of sub-stages are kept for good, so that a finished run can be extended. A checkpoint at a step
    makes those of later steps obsolete (they belong to a future that was given up), and they are removed.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        step_interval: int = 1000,
        time_interval: float = 600.0,
        keep: int = 3,
        keep_every: int | None = None,
    ) -> None:
        if step_interval < 1 or time_interval < 0 or keep < 1 or (keep_every is not None and keep_every < 1):
            raise InputError(
                f"checkpoints every {step_interval} steps and {time_interval} s, of which {keep} and every "
                f"{keep_every} are kept; expected positive numbers"
            )
        self.folder = Path(folder)
        self.step_interval = step_interval
        self.time_interval = time_interval
        self.keep = keep
        self.keep_every = keep_every
        self._last_step = 0
        self._last_time = time.monotonic()

    def start(self, step: int) -> None:
        """Count the intervals from here on."""
        self._last_step, self._last_time = step, time.monotonic()

    def due(self, step: int) -> bool:
        """Whether both the step and the time interval have passed since the last checkpoint."""
        return step - self._last_step >= self.step_interval and time.monotonic() - self._last_time >= self.time_interval

    # --- writing --------------------------------------------------------------------------------------------

    def save(self, step: int, tree: PyTree, manifest: Mapping[str, Any], *, end_of: str | None = None) -> Path:
        """Write the arrays of `tree` and what JSON can hold; `end_of` names the sub-stage that ends here.

        Raises:
            OutputError: the disk is full or fails; older checkpoints are intact.
        """
        name = f"step-{step:09d}.npz" if end_of is None else f"end-of-{end_of}-step-{step:09d}.npz"
        path = self.folder / name
        with output_errors(path):
            if not self.folder.exists():
                self.folder.mkdir(parents=True)
            remove_temporary_files(self.folder)
        with atomic_file(path) as file:
            _write(file, step, tree, manifest)
        self.start(step)
        self._tidy(step)
        return path

    def _tidy(self, step: int) -> None:
        """Remove what is obsolete or too many. What cannot be removed does no harm."""
        obsolete = [path for path, at, _ in self._listed() if at > step]
        newest_first = sorted(((at, path) for path, at, stage in self._listed() if stage is None and at <= step))[::-1]
        kept = self._kept_for_good([at for at, _ in newest_first])
        surplus = [path for at, path in newest_first[self.keep :] if at not in kept]
        for path in (*obsolete, *surplus):
            with suppress(OSError):
                path.unlink()

    def _kept_for_good(self, steps: list[int]) -> set[int]:
        """Of these steps, the first in each interval of `keep_every`."""
        if self.keep_every is None:
            return set()
        first: dict[int, int] = {}
        for step in sorted(steps):
            first.setdefault(step // self.keep_every, step)
        return {step for interval, step in first.items() if interval > 0}

    # --- reading --------------------------------------------------------------------------------------------

    def newest_first(self) -> Iterator[Path]:
        """All checkpoints by descending step; at the same step, the one that is not the end of a stage first."""
        ordered = sorted(self._listed(), key=lambda found: (found[1], found[2] is None), reverse=True)
        return (path for path, _, _ in ordered)

    def ends(self) -> dict[str, Path]:
        """The checkpoint at the end of each sub-stage that was left."""
        found = sorted((step, stage, path) for path, step, stage in self._listed() if stage is not None)
        return {stage: path for _, stage, path in found}

    def load(self, path: Path | str) -> Saved:
        """Read and check a checkpoint.

        Raises:
            CheckpointDamaged: a checksum, the manifest or the file itself is not what was written.
        """
        return _read(Path(path))

    def manifest(self, path: Path | str) -> Mapping[str, Any]:
        """What a checkpoint says of itself, without reading its arrays."""
        return _read(Path(path), arrays=False).manifest

    def _listed(self) -> list[tuple[Path, int, str | None]]:
        """Path, step and ended stage of every checkpoint. The step counts as a number, not as text."""
        if not self.folder.is_dir():
            return []
        found = ((path, NAME.fullmatch(path.name)) for path in self.folder.iterdir())
        return [(path, int(match["step"]), match["stage"]) for path, match in found if match]


def described(tree: PyTree) -> dict[str, str]:
    """Path of every leaf, and its dtype and shape: {"systems/walkers": "float32[1, 512, 4, 3]"}."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in leaves
    }


# --- the file format: a ZIP of .npy members, which numpy.load reads, and a manifest -------------------------


def _write(file: IO[bytes], step: int, tree: PyTree, manifest: Mapping[str, Any]) -> None:
    entries: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for (path, text), leaf in zip(described(tree).items(), jax.tree.leaves(tree), strict=True):
            array, entries[path] = _to_plain(leaf)
            entries[path] |= {"described": text, "crc32": zlib.crc32(array.tobytes())}
            with archive.open(zipfile.ZipInfo(f"{path}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        text = json.dumps({**manifest, "format": FORMAT, "step": step, "arrays": entries})
        wrapped = json.dumps({"crc32": zlib.crc32(text.encode()), "contents": text})
        archive.writestr(zipfile.ZipInfo(MANIFEST), wrapped)


def _read(path: Path, arrays: bool = True) -> Saved:
    try:
        with zipfile.ZipFile(path) as archive:
            wrapped = json.loads(archive.read(MANIFEST))
            text = wrapped["contents"]
            if zlib.crc32(text.encode()) != wrapped["crc32"]:
                raise CheckpointDamaged("the manifest's checksum is wrong")
            manifest = json.loads(text)
            entries = manifest["arrays"] if arrays else {}
            read = {name: _read_array(archive, name, entry["crc32"]) for name, entry in entries.items()}
        return Saved(path, int(manifest["step"]), read, manifest)
    except CheckpointDamaged:
        raise
    except PermissionError as error:
        raise InputError(f"the checkpoint {path} may not be read: {error.strerror}") from error
    except Exception as error:
        raise CheckpointDamaged(f"{type(error).__name__}: {error}") from error


def _read_array(archive: zipfile.ZipFile, name: str, crc32: int) -> np.ndarray:
    # The whole member is read first: the archive's own checksum is verified at its end.
    member = io.BytesIO(archive.read(f"{name}.npy"))
    array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
    if zlib.crc32(array.tobytes()) != crc32:
        raise CheckpointDamaged(f"the checksum of {name} is wrong")
    return array


def _to_plain(leaf: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """An array whose dtype .npy knows, and a note: random keys as integers, bfloat16 and the like as bytes."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf)), {"key": str(jax.random.key_impl(leaf))}
    array = np.asarray(leaf)
    if array.dtype.kind in "biufc":
        return array, {}
    return np.ascontiguousarray(array).reshape((*array.shape, 1)).view(np.uint8), {}


def _from_plain(array: np.ndarray, entry: Mapping[str, Any], like: Any) -> Any:
    if "key" in entry:
        return jax.random.wrap_key_data(jnp.asarray(array), impl=entry["key"])
    dtype = np.dtype(like.dtype)
    return array if dtype.kind in "biufc" else array.view(dtype).reshape(like.shape)
