"""What only the command line may do: settings of the whole process, made before JAX is imported."""

from __future__ import annotations

import os
import re
import sys

from adiabat.cli.compilation_cache import use_compilation_cache

__all__ = ["prepare", "split_cpu", "tune_allocator"]

_HOST_DEVICES = "--xla_force_host_platform_device_count"

# Options of mallopt(3) in glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def prepare(devices: int | None = None) -> None:
    """Make the process ready for a computation. Without effect on JAX if that was imported before.

    Args:
        devices: number of devices the CPU is split into; None leaves it as it is.
    """
    # Factorisations of the size of a batch of walkers gain little from threads, and lose up to a hundredfold while
    # another process or a compilation uses the cores: the threads of the library wait for each other by spinning.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Loading a program from the compilation cache logs an error of no consequence for each of its functions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    use_compilation_cache()
    tune_allocator()
    if devices is not None:
        split_cpu(devices)
    # Last, so that it hides nothing: `--wavefunction mine:MyNetwork` finds mine.py in the current folder.
    sys.path.append(os.getcwd())


def tune_allocator() -> bool:
    """Tell glibc to keep freed memory; returns whether it was told.

    By default it hands large blocks back to the kernel at once, and the page faults of getting them again
    make the step of a small network up to 4 times slower. Threads besides the first have memory of their own that
    this does not reach; with one for all, a potential that is called back takes a fifth less. An allocator the user
    has tuned is left alone.
    """
    tuned = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if sys.platform != "linux" or tuned:
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    options = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 256 * 2**20, _M_ARENA_MAX: 1}
    taken = [mallopt(option, value) == 1 for option, value in options.items()]
    return all(taken)


def split_cpu(devices: int) -> None:
    """Make the CPU appear to JAX as `devices` devices."""
    flags = re.sub(rf"{_HOST_DEVICES}=\S*", "", os.environ.get("XLA_FLAGS", ""))
    os.environ["XLA_FLAGS"] = f"{flags.strip()} {_HOST_DEVICES}={devices}".strip()
