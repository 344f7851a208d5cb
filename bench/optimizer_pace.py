"""Seconds a step of each optimizer, measured in turn.

Runs of an hour see whatever else the machine does in that hour, each something else. Measured in turn, all optimizers
see the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from adiabat.config import SHORT_NAMES, ConfigManager, Flag, from_flags
from adiabat.electrons.energy_plan import plan_energy
from adiabat.engine import Driver
from adiabat.io.atomic import write_json
from bench.optimizer_contestants import CONTESTANTS, SYSTEMS

ROUNDS, STEPS = 7, 20


def measure_pace(systems: Sequence[str], folder: Path, rounds: int = ROUNDS, steps: int = STEPS) -> None:
    """Measure all contestants on each of the systems and note it beside their runs."""
    found = read_pace(folder)
    for system in systems:
        drivers = {name: _driver(name, system) for name in CONTESTANTS}
        for driver in drivers.values():
            driver.run(steps)
        seconds: dict[str, list[float]] = {name: [] for name in drivers}
        for _ in range(rounds):
            for name, driver in drivers.items():
                start = time.perf_counter()
                driver.run(steps)
                seconds[name].append((time.perf_counter() - start) / steps)
        found[system] = {name: median(times) for name, times in seconds.items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(_file(folder), found)


def read_pace(folder: Path) -> dict[str, dict[str, float]]:
    """Seconds a step by system and contestant; empty if they were not measured."""
    file = _file(folder)
    return dict(json.loads(file.read_text())) if file.is_file() else {}


def _file(folder: Path) -> Path:
    return folder / "pace.json"


def _driver(contestant: str, system: str) -> Driver:
    """Training as the runs do it, without end."""
    words = [*CONTESTANTS[contestant], *SYSTEMS.get(system, ()), "--train.iterations", "1000000"]
    pairs = zip(words[::2], words[1::2], strict=True)
    flags = [Flag(SHORT_NAMES.get(word[2:], word[2:]), text, word) for word, text in pairs]
    plan = plan_energy(ConfigManager([from_flags(flags)]), system)
    return Driver(plan.train, seed=plan.seed, systems=plan.systems(None), mesh=plan.mesh)
