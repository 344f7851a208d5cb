"""adiabat, as its command line sets up a process."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from adiabat.cli.process import prepare

prepare()

import jax  # noqa: E402 - what `prepare` sets has to be there first

from adiabat.atoms import (  # noqa: E402
    FIRE,
    NVE,
    AtomicData,
    Batch,
    FusedStage,
    LennardJones,
    MemorySink,
    SizeAwareSampler,
)
from adiabat.engine import AbstractCallback  # noqa: E402
from bench.dynamics.programs.served import Inputs, Round, kinetic_energies, serve  # noqa: E402

ENERGY_PER_MASS = 9.648533212e-3  # (angstrom/fs)**2 per eV/amu
ARGON = 18


class Compilations(AbstractCallback):
    """Counts the programs of the engine and the CPU seconds that they took."""

    def __init__(self) -> None:
        self.count, self.seconds, self._start = 0, 0.0, 0.0

    def on_event(self, kind: str, message: str, driver: Any) -> None:
        """One program is compiled at a time."""
        if kind == "compile_started":
            self._start = time.process_time()
        if kind == "compile_finished":
            self.count += 1
            self.seconds += time.process_time() - self._start


class EverythingCompiled:
    """Counts what XLA compiles, down to the smallest array operation."""

    def __init__(self) -> None:
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, seconds: float, **_: Any) -> None:
        self.count += event == "/jax/core/compile/backend_compile_duration"


def _systems(inputs: Inputs) -> list[AtomicData]:
    return [
        AtomicData(
            x, np.full(len(x), ARGON), masses=np.full(len(x), inputs.mass), cell=cell, pbc=inputs.periodic, velocities=v
        )
        for x, v, cell in inputs.systems()
    ]


def _potential(inputs: Inputs) -> LennardJones:
    pairs = {("Ar", "Ar"): (inputs.epsilon, inputs.sigma)}
    return LennardJones(pairs=pairs, cutoff=inputs.cutoff, skin=inputs.skin)


def nve(inputs: Inputs) -> Round:
    """One batch that goes on and on."""
    compiled, all_compiled = Compilations(), EverythingCompiled()
    dynamics = NVE(_potential(inputs), dt=inputs.dt, hooks=[compiled])
    batch = Batch.from_data_list(_systems(inputs))

    def run(steps: int) -> dict[str, Any]:
        nonlocal batch
        batch = dynamics.run(batch, steps)
        velocities = np.concatenate([data.velocities for data in batch.to_data_list()])
        builds = getattr(batch.neighbors.search, "builds", None)
        return {
            "kinetic": kinetic_energies(inputs, velocities / np.sqrt(ENERGY_PER_MASS)),
            "programs": compiled.count,
            "compilations": all_compiled.count,
            "builds": None if builds is None else int(np.max(builds)),
        }

    return run


def relax(inputs: Inputs, slots: int = 32, order: int = 0) -> Round:
    """In flight through so many slots; `order`: seed of the order in which the clusters are given, 0: as they are."""
    all_compiled = EverythingCompiled()
    places = np.arange(len(inputs.sizes))
    if order:
        places = np.random.default_rng(order).permutation(places)

    def run(_: int) -> dict[str, Any]:
        compiled, sink, before = Compilations(), MemorySink(), all_compiled.count
        data = _systems(inputs)
        stage = FusedStage(
            [(0, FIRE(_potential(inputs), fmax=inputs.fmax))],
            sampler=SizeAwareSampler([data[i] for i in places]),
            sinks=[sink],
            max_batch_size=slots,
            hooks=[compiled],
        )
        stage.run()
        found = {int(places[data.system_id]): data for data in sink}
        ended = [found[i] for i in sorted(found)]
        steps = [data.info["steps"] for data in ended]
        return {
            "positions": np.concatenate([data.positions for data in ended]).tolist(),
            "steps": steps,
            "programs": compiled.count,
            "compilations": all_compiled.count - before,
            "compiling": compiled.seconds,
            "occupancy": sum(steps) / (slots * stage.step_count),
        }

    return run


if __name__ == "__main__":
    serve({"boxes": nve, "crystal": nve, "clusters": relax})
