"""Rattled crystals relaxed with CHGNet: all of them in flight, and one after the other by ASE."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.optimize import FIRE as ASEFire

from adiabat.atoms import FIRE, ConvergenceHook, FusedStage, MemorySink, SizeAwareSampler, from_ase
from adiabat.atoms.potentials import CHGNet
from bench.rows import Row

FMAX = 0.05
LATTICES: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("Si", "diamond", {"a": 5.43}),
    ("NaCl", "rocksalt", {"a": 5.64}),
    ("MgO", "rocksalt", {"a": 4.21}),
    ("GaAs", "zincblende", {"a": 5.65}),
    ("Cu", "fcc", {"a": 3.61}),
    ("Fe", "bcc", {"a": 2.87}),
    ("Ti", "hcp", {"a": 2.95, "c": 4.68}),
    ("ZnO", "wurtzite", {"a": 3.25, "c": 5.2}),
    ("CsCl", "cesiumchloride", {"a": 4.12}),
    ("CaF2", "fluorite", {"a": 5.46}),
)


def rattled_crystals(count: int = 100) -> list[Atoms]:
    """Of two to four atoms."""
    found = []
    for seed in range(count):
        name, kind, lattice = LATTICES[seed % len(LATTICES)]
        atoms = bulk(name, kind, **lattice)
        if len(atoms) == 1:
            atoms *= (2, 2, 1)
        atoms.rattle(0.1, seed=seed)
        found.append(atoms)
    return found


def measure(*, count: int = 100, slots: int = 64) -> list[Row]:
    """Seconds of both ways, with one thread of torch; those of the processor do not count what others have taken.

    Parameters
    ----------
    count : int
    slots : int
        Crystals that are relaxed at a time in flight.
    """
    import torch
    from chgnet.model import CHGNetCalculator

    group = f"CHGNet: {count} crystals relaxed to {FMAX} eV/angstrom, one thread of torch"
    potential = CHGNet(threads=1)
    calculator = CHGNetCalculator(model=potential.network.network, use_device="cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        in_flight(rattled_crystals(slots), potential, slots)  # compiles
        (ours, sink), (theirs, others) = (
            _timed(lambda: in_flight(rattled_crystals(count), potential, slots)),
            _timed(lambda: [_by_ase(atoms, calculator) for atoms in rattled_crystals(count)]),
        )
    finally:
        torch.set_num_threads(before)
    per_atom = [abs(sink.find(i).energy - energy) / n for i, (energy, n, _) in enumerate(others)]
    steps = [steps for _, _, steps in others]
    return [
        Row(group, "in flight", ours[1], "s", remark=f"{ours[0]:.0f} s of the processor"),
        Row(group, "FIRE of ASE", theirs[1], "s", remark=f"{theirs[0]:.0f} s of the processor, {sum(steps)} steps"),
        Row(
            group, "ASE's time over ours", theirs[1] / ours[1], "", remark=f"of the processor {theirs[0] / ours[0]:.3g}"
        ),
        Row(group, "largest difference of energies", 1e3 * max(per_atom), "meV/atom", 1.0),
    ]


def in_flight(structures: list[Atoms], potential: CHGNet, slots: int) -> MemorySink:
    """The relaxed crystals by their index."""
    sink = MemorySink()
    fire = FIRE(potential, convergence_hook=ConvergenceHook.from_fmax(FMAX))
    sampler = SizeAwareSampler([from_ase(atoms) for atoms in structures])
    fused = FusedStage([(0, fire)], sampler=sampler, sinks=[sink], max_batch_size=slots)
    fused.run()
    assert fused.ledger is not None
    assert fused.ledger.counts["done"] == len(structures)
    return sink


def _by_ase(atoms: Atoms, calculator: Any) -> tuple[float, int, int]:
    atoms.calc = calculator
    optimizer = ASEFire(atoms, logfile=None)
    optimizer.run(fmax=FMAX, steps=1000)
    return float(atoms.get_potential_energy()), len(atoms), int(optimizer.nsteps)


def _timed(call: Callable[[], Any]) -> tuple[np.ndarray, Any]:
    """Seconds of the processor and of the clock, and what the call gives."""
    start = np.array([time.process_time(), time.perf_counter()])
    result = call()
    return np.array([time.process_time(), time.perf_counter()]) - start, result
