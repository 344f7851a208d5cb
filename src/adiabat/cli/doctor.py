"""`adiabat doctor`: whether this machine can run adiabat, and what to do where it cannot.

JAX itself is only ever started in processes of their own with a time limit, so that a driver that hangs or a
release that crashes is a line of the answer and not the end of it.
"""

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from adiabat.cli.blas_threads import available_cores, blas_threads
from adiabat.cli.compilation_cache import compilation_cache_folder, writable
from adiabat.cli.jax_patterns import PATTERNS, Pattern

PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "folx", "optax", "pyscf", "ase", "h5py")
TIME_LIMIT = 25.0  # seconds for one process; five are enough for each


@dataclass(frozen=True)
class Finding:
    """One line of the answer. A `remedy` is what to do about it."""

    status: str  # "ok", "note" (works, could be better), "known" or "FAILED"
    text: str
    remedy: str = ""


def run_doctor() -> int:
    """Examine this machine, print what is found, and return 0 if all is fine, else 1.

    It takes about fifteen seconds, and at most ninety when several patterns run into their time limit.
    """
    remedies = []
    for heading, examine in EXAMINATIONS.items():
        print(heading, flush=True)
        for finding in examine():
            print(f"  {finding.status:<7}{finding.text}", flush=True)
            if finding.remedy:
                print(f"         -> {finding.remedy}", flush=True)
            if finding.status == "FAILED":
                remedies.append(finding.remedy)
    if remedies:
        print("\nNot all is well. " + " ".join(dict.fromkeys(remedies)))
        return 1
    print("\nAll is well: adiabat runs here.")
    return 0


def examine_versions() -> Iterator[Finding]:
    """Whether the packages are there, in releases that adiabat allows."""
    yield Finding("ok", f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    found, allowed = {}, allowed_releases()
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("FAILED", f"{name} is not installed", install(name))
    yield Finding("ok", ", ".join(f"{name} {version}" for name, version in found.items()))
    for name, version in found.items():
        if name in allowed and not allowed[name].specifier.contains(version, prereleases=True):
            text = f"{name} {version} is outside what adiabat needs, {allowed[name].specifier}"
            yield Finding("FAILED", text, install(name))
    if found.get("jax") != found.get("jaxlib"):
        yield Finding("note", "jax and jaxlib are tested only in the same version")


def examine_devices() -> Iterator[Finding]:
    """Which devices JAX finds, asked in a process of its own."""
    question = "import jax; print(*(f'{d.platform}:{d.id} {d.device_kind}' for d in jax.devices()), sep=', ')"
    outcome = run_python(["-c", question])
    if outcome.status == "ok":
        yield Finding("ok", outcome.text)
    else:
        remedy = "Try JAX_PLATFORMS=cpu adiabat doctor: if that works, the accelerator's driver is at fault."
        yield Finding("FAILED", f"JAX finds no device: {outcome.text}", remedy)


def examine_cache() -> Iterator[Finding]:
    """Whether compiled programs can be kept."""
    folder = compilation_cache_folder()
    if writable(folder):
        yield Finding("ok", f"{folder} is writable")
    else:
        remedy = "Name a folder you can write to: export JAX_COMPILATION_CACHE_DIR=..."
        yield Finding("note", f"{folder} is not writable, so every run compiles anew", remedy)


def examine_threads() -> Iterator[Finding]:
    """Whether there is a free core for every thread of linear algebra."""
    cores, threads = available_cores(), blas_threads()
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    free = max(1, cores - busy)
    if threads is None:
        yield Finding("ok", f"{cores} cores, {busy} busy; linear algebra does not tell its threads")
    elif threads <= free:
        yield Finding("ok", f"{threads} threads of linear algebra; {cores} cores, {busy} busy")
    else:
        text = f"{threads} threads of linear algebra, but {cores} cores with {busy} busy: solving can be slow"
        yield Finding("note", text, f"While it is so: export OPENBLAS_NUM_THREADS={free}")


def examine_patterns() -> Iterator[Finding]:
    """Whether JAX computes six programs as NumPy does; one after another, since each wants all cores."""
    for pattern in PATTERNS.values():
        yield examine_pattern(pattern)


EXAMINATIONS = {
    "Versions": examine_versions,
    "Devices": examine_devices,
    "Cache of compiled programs": examine_cache,
    "Threads": examine_threads,
    "JAX against NumPy on the CPU, in programs that some releases of JAX get wrong": examine_patterns,
}


def examine_pattern(pattern: Pattern) -> Finding:
    """Run one pattern on the CPU, compiled afresh."""
    started = time.monotonic()
    outcome = run_python(
        ["-m", "adiabat.cli.jax_patterns", pattern.name],
        JAX_PLATFORMS="cpu",
        JAX_ENABLE_COMPILATION_CACHE="0",
    )
    taken = f"{pattern.does} ({time.monotonic() - started:.1f} s)"
    if outcome.status == "ok":
        return Finding("ok", taken)
    if pattern.wrong_everywhere:
        return Finding("known", f"{pattern.does}: wrong in every release; adiabat does without")
    return Finding("FAILED", f"{pattern.does}: {outcome.text}", install("jax", "jaxlib"))


def run_python(arguments: list[str], **environment: str) -> Finding:
    """Run Python with these arguments; the finding's text is its last line, or why there is none."""
    source = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        finished = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": search_path, **environment},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Finding("FAILED", f"no end within {TIME_LIMIT:.0f} s")
    if finished.returncode < 0:
        return Finding("FAILED", f"crashed with signal {-finished.returncode}")
    said = (finished.stdout.strip() or finished.stderr.strip() or "no output").splitlines()[-1]
    return Finding("FAILED" if finished.returncode else "ok", said)


def allowed_releases() -> dict[str, Requirement]:
    """What the installed adiabat asks for on this Python, by package; empty when run without installation."""
    try:
        lines = importlib.metadata.requires("adiabat") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    requirements = map(Requirement, lines)
    return {r.name: r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})}


def install(*names: str) -> str:
    """The command that installs these packages in releases that adiabat allows."""
    allowed = allowed_releases()
    wanted = (f'"{name}{allowed[name].specifier}"' if name in allowed else name for name in names)
    return f"pip install --upgrade {' '.join(wanted)}"
