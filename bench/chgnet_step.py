"""A step of 64 small crystals with CHGNet: what the network takes, and what the graph and the engine add to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from adiabat.atoms import FIRE, Batch, from_ase
from adiabat.atoms.potentials import CHGNet
from adiabat.atoms.potentials.crystal_graph import crystal_graph
from bench.rows import Row
from bench.stopwatch import Call, alternately

LIMIT = 1.15
"""Of a whole step, in passes forwards and backwards through the network."""
PROTOTYPES = (
    ("Si", "diamond", 5.43),
    ("NaCl", "rocksalt", 5.64),
    ("MgO", "rocksalt", 4.21),
    ("GaAs", "zincblende", 5.65),
)


def measure(*, rounds: int = 7, n_crystals: int = 64) -> list[Row]:
    """Milliseconds of the passes, and all else in units of them; with one thread of torch.

    Parameters
    ----------
    rounds : int
        How often everything is timed.
    n_crystals : int
        Of 8 atoms each.
    """
    import torch

    group = f"CHGNet: {n_crystals} crystals of 8 atoms, one thread of torch"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        unit, found = alternately(*_calls(n_crystals), rounds)
    finally:
        torch.set_num_threads(before)
    limits = {"step of FIRE": LIMIT}
    rows = [Row(group, "forward and backward pass", 1e3 * unit.median, "ms", remark=unit.scaled(1e3).range)]
    return rows + [
        Row(group, name, each.median, "passes", limits.get(name), each.range) for name, each in found.items()
    ]


def crystals(count: int) -> list[Atoms]:
    """Cubic cells of 8 atoms, rattled."""
    found = [bulk(name, kind, a, cubic=True) for name, kind, a in PROTOTYPES]
    found = [found[i % len(found)].copy() for i in range(count)]
    for seed, atoms in enumerate(found):
        atoms.rattle(0.05, seed=seed)
    return found


def _calls(count: int) -> tuple[Call, dict[str, Call]]:
    """Both passes for graphs that are there, and what is compared with them."""
    import torch

    atoms, potential = crystals(count), CHGNet()
    network = potential.network
    positions, cell = np.concatenate([each.positions for each in atoms]), np.stack([each.cell[:] for each in atoms])
    pbc, batch = np.ones((count, 3), bool), np.repeat(np.arange(count), [len(each) for each in atoms])
    fixed = [torch.tensor(array) for array in (np.concatenate([each.numbers for each in atoms]), cell, batch)]

    def graph() -> Any:
        return crystal_graph(positions, cell, pbc, batch, cutoff=network.cutoff, angle_cutoff=network.angle_cutoff)

    known = graph()

    def forward() -> tuple[Any, Any]:
        moving = torch.tensor(positions, requires_grad=True)
        return network.energies(known, moving, *fixed).sum(), moving

    def passes() -> Any:
        return torch.autograd.grad(*forward())

    others = {"forward pass": forward, "bonds and angles": graph, "step of FIRE": _steps(atoms, potential)}
    return passes, {**others, **_as_the_package_does(atoms, network.network)}


def _steps(atoms: list[Atoms], potential: CHGNet) -> Call:
    """A step of the engine, one after the other.

    They move by next to nothing: relaxed, the crystals have 1.6 times as many angles as those they are compared with.
    """
    fire = FIRE(potential, max_step=1e-9)
    batch = Batch.from_data_list([from_ase(each) for each in atoms])

    def step() -> None:
        nonlocal batch
        batch, _ = fire.step(batch)

    step()
    return step


def _as_the_package_does(atoms: list[Atoms], network: Any) -> dict[str, Call]:
    """Its own graphs, and its own passes for all of them at once, which keep what training needs."""
    from pymatgen.io.ase import AseAtomsAdaptor

    def graphs() -> list[Any]:
        return [network.graph_converter(AseAtomsAdaptor.get_structure(each)) for each in atoms]

    known = graphs()
    return {"the package's graphs": graphs, "the package's passes": lambda: network(known, task="efs")}
