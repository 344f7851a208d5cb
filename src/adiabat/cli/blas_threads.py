"""How many threads the linear algebra under SciPy uses, and how many cores there are for them.

JAX on a CPU solves and factorises with SciPy's BLAS. With more threads than free cores they wait for one
another, and a solve takes tens of times longer.
"""

import ctypes
import math
import os
from pathlib import Path

# OpenBLAS as SciPy ships it, as NumPy ships it, and as a system has it.
THREAD_QUERIES = (
    "scipy_openblas_get_num_threads",
    "scipy_openblas_get_num_threads64_",
    "openblas_get_num_threads",
)


def available_cores() -> int:
    """Cores this process may use: its CPU affinity, and the quota a container gives it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return cores


def blas_threads() -> int | None:
    """Threads of the OpenBLAS that SciPy has loaded, or None where it is another library."""
    import scipy.linalg  # noqa: F401  (loads the library)

    try:
        mapped = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    libraries = {line.split()[-1] for line in mapped if "openblas" in line.lower()}
    for library in sorted(libraries, key=lambda path: "scipy" not in Path(path).parent.name):
        loaded = ctypes.CDLL(library)
        for query in THREAD_QUERIES:
            if hasattr(loaded, query):
                return int(getattr(loaded, query)())
    return None
