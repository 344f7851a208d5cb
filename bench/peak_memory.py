"""`python -m bench.peak_memory OPTIMIZER WORKLOAD STEPS`: trains, and prints the most memory this process ever held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from adiabat.cli.process import prepare
from bench.processes import output_of, scratch_folder


def peak_memory(optimizer: str, workload: str, steps: int = 5) -> tuple[float, float]:
    """Bytes that a process holds at most which trains and does nothing else.

    Parameters
    ----------
    optimizer : str
    workload : str
        `Workload` as JSON.
    steps : int

    Returns
    -------
    tuple
        Of a process that compiles its programs, and of one that finds them in the cache.
    """
    words = ("-m", "bench.peak_memory", optimizer, workload, str(steps))
    with scratch_folder() as cache:
        compiling, cached = (float(output_of(*words, cache=cache).split()[-1]) for _ in range(2))
    return compiling, cached


def bytes_held_at_most() -> int:
    """Largest resident size of this process so far.

    Linux starts the count of getrusage with what the parent held when it made this process; /proc does not.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main(optimizer: str, workload: str, steps: str) -> None:
    """Train for some steps and print the peak, in bytes."""
    prepare()
    from bench.workload import Workload

    Workload.from_json(workload).driver(optimizer).run(int(steps))
    print(bytes_held_at_most())


if __name__ == "__main__":
    main(*sys.argv[1:])
