"""Short names of settings that every run of a job has: `--walkers` on the command line, `walkers=` in Python.

Names not listed (`--seed`, `--wavefunction`, `--potential`) are settings at the top already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = ["SHORT_NAMES", "JobName", "StructuresJobName"]

StructuresJobName = Literal["relax", "md"]
JobName = Literal["energy", StructuresJobName]

_STRUCTURES = {
    "strict": "structures.strict",
    "fixed_center": "structures.fixed_center",
    "trajectory": "record.trajectory_interval",
    "batch_size": "batch.max_batch_size",
}

SHORT_NAMES: Mapping[JobName, Mapping[str, str]] = {
    "energy": {
        "charge": "system.charge",
        "spin": "system.spin",
        "unit": "system.unit",
        "walkers": "sampler.walkers",
        "error": "evaluate.error",
    },
    "relax": {
        "method": "relax.kind",
        "fmax": "relax.fmax",
        "steps": "relax.n_steps",
        "cell": "relax.cell",
        "pressure": "relax.cell.pressure",
        **_STRUCTURES,
    },
    "md": {
        "ensemble": "md.kind",
        "temperature": "md.temperature",
        "steps": "md.n_steps",
        "dt": "md.dt",
        **_STRUCTURES,
    },
}
