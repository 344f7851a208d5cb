"""Short names of settings that every energy run has: `--walkers` on the command line, `walkers=` in Python.

Names not listed (`--seed`, `--wavefunction`) are settings at the top already.
"""

from __future__ import annotations

__all__ = ["SHORT_NAMES"]

SHORT_NAMES = {
    "charge": "system.charge",
    "spin": "system.spin",
    "unit": "system.unit",
    "walkers": "sampler.walkers",
    "error": "evaluate.error",
}
