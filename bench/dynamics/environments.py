"""Where the other programs live: a virtual environment for each, made on first use, in the versions given here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT

FOLDER = ROOT / ".cache" / "peers"


class NotInstalled(Exception):
    """A program cannot be had here; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A program to compare with.

    Parameters
    ----------
    title : str
        How its authors write its name.
    packages : tuple of tuples of str
        What is installed; where that fails, the next.
    pythons : tuple of str
        Interpreters that can run it, the first one found is taken; empty: this one.
    """

    title: str
    packages: tuple[tuple[str, ...], ...]
    pythons: tuple[str, ...] = ()


def _with_torch(*packages: str) -> tuple[tuple[str, ...], ...]:
    # The build for processors alone, where it is to be found, is a tenth of the other in size.
    return tuple((*packages, f"torch==2.13.0{build}") for build in ("+cpu", ""))


PEERS = {
    "ase": Peer("ASE", (("ase==3.29.0",),)),
    "torch_sim": Peer("TorchSim", _with_torch("torch-sim-atomistic==0.6.2"), ("python3.12", "python3.13")),
    "nvalchemi": Peer("nvalchemi", _with_torch("nvalchemi-toolkit==0.2.0")),
    "jax_md": Peer("jax-md", (("jax-md==0.2.29",),)),
}


def interpreter(name: str) -> Path:
    """The Python of a program's environment, which is made if it is not there.

    Raises
    ------
    NotInstalled
        If that fails. Nothing is left behind, so that the next run tries again.
    """
    peer, folder = PEERS[name], FOLDER / name
    python = folder / "bin" / "python"
    if python.is_file():
        return python
    print(f"installing {peer.title} into {folder} ...", file=sys.stderr, flush=True)
    said = _run(_python_for(peer), "-m", "venv", str(folder))
    for packages in peer.packages if said is None else ():
        said = _run(str(python), "-m", "pip", "install", "--quiet", *packages)
        if said is None:
            return python
    shutil.rmtree(folder, ignore_errors=True)
    raise NotInstalled(f"{peer.title} does not install: {said}")


def version(name: str) -> str:
    """The version that was asked for."""
    return PEERS[name].packages[0][0].partition("==")[2]


def _python_for(peer: Peer) -> str:
    if not peer.pythons:
        return sys.executable
    if f"python{sys.version_info.major}.{sys.version_info.minor}" in peer.pythons:
        return sys.executable
    found = next(filter(None, map(shutil.which, peer.pythons)), None)
    if found is None:
        raise NotInstalled(f"{peer.title} needs {' or '.join(peer.pythons)}")
    return found


def _run(*command: str) -> str | None:
    """None, or the last thing that a command said that failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")
