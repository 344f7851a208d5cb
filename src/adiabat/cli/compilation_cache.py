"""Where compiled programs are kept between runs: compiling is most of the time of a short run.

This module imports nothing but the standard library, because the folder has to be named in the environment
before JAX is imported.
"""

import hashlib
import os
import platform
from pathlib import Path


def use_compilation_cache() -> Path | None:
    """Make JAX, imported after this call, keep compiled programs in the user's cache folder.

    Returns the folder, or None if it cannot be written, in which case everything works and compiles anew.
    What the user has set in JAX's own environment variables stays.
    """
    folder = compilation_cache_folder()
    if not writable(folder):
        return None
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    # Many programs of a start are small; keep them all, however quickly each compiles.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    return folder


def compilation_cache_folder() -> Path:
    """JAX_COMPILATION_CACHE_DIR if set, else a folder in ~/.cache/adiabat for this kind of processor."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen:
        return Path(chosen)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "adiabat" / "jax" / processor()


def processor() -> str:
    """A name for this kind of processor.

    Programs are compiled for the instructions of the processor at hand, and a cluster's nodes often share a
    home folder but not a processor.
    """
    features = platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("flags", "features")):
                features = line
                break
    except OSError:
        pass  # no such file outside Linux, where the architecture alone has to do
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"


def writable(folder: Path) -> bool:
    """Whether files can be made in the folder, which is created if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
