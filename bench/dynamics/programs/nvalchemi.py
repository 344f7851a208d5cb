"""nvalchemi-toolkit: kernels of Warp under PyTorch, neighbor lists with a skin, systems in flight."""

from __future__ import annotations

from typing import Any

import torch

torch.set_num_threads(1)

from nvalchemi.data import AtomicData, Batch  # noqa: E402
from nvalchemi.dynamics import (  # noqa: E402
    FIRE,
    NVE,
    ConvergenceHook,
    FusedStage,
    HostMemory,
    SizeAwareSampler,
)
from nvalchemi.dynamics.base import DynamicsStage  # noqa: E402
from nvalchemi.hooks import NeighborListHook  # noqa: E402
from nvalchemi.models.lj import LennardJonesModelWrapper  # noqa: E402

from bench.dynamics.programs.served import Inputs, Round, kinetic_energies, serve  # noqa: E402

ARGON = 18
FS_PER_UNIT = 10.180505710759414  # its unit of time, angstrom sqrt(amu/eV)
BUDGET = 800  # atoms under way at once
LARGEST = 40  # atoms of a cluster


class Clusters:
    """A data set as its sampler wants it."""

    def __init__(self, systems: list[Any]) -> None:
        self.systems = systems

    def __len__(self) -> int:
        return len(self.systems)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        return self.systems[index], {}

    def get_metadata(self, index: int) -> tuple[int, int]:
        """Atoms and edges."""
        return self.systems[index].num_nodes, 0


def _systems(inputs: Inputs) -> list[Any]:
    made = []
    for place, (positions, velocities, cell) in enumerate(inputs.systems()):
        n_atoms = len(positions)
        periodic: dict[str, Any] = {}
        if inputs.periodic:
            periodic = {"cell": torch.tensor(cell)[None], "pbc": torch.ones(1, 3, dtype=torch.bool)}
        data = AtomicData(
            positions=torch.tensor(positions),
            atomic_numbers=torch.full((n_atoms,), ARGON),
            atomic_masses=torch.full((n_atoms,), inputs.mass, dtype=torch.float64),
            velocities=torch.tensor(velocities * FS_PER_UNIT),
            forces=torch.zeros(n_atoms, 3, dtype=torch.float64),
            energy=torch.zeros(1, 1, dtype=torch.float64),
            **periodic,
        )
        data.add_system_property("place", torch.tensor([[place]]))
        made.append(data)
    return made


def _model(inputs: Inputs) -> Any:
    return LennardJonesModelWrapper(epsilon=inputs.epsilon, sigma=inputs.sigma, cutoff=inputs.cutoff)


def _neighbors(model: Any, skin: float, **settings: Any) -> Any:
    config = model.model_config.neighbor_config
    return NeighborListHook(config, skin=skin, stage=DynamicsStage.BEFORE_COMPUTE, **settings)


def nve(inputs: Inputs) -> Round:
    """One batch that goes on and on."""
    model = _model(inputs)
    dynamics = NVE(model, dt=inputs.dt, hooks=[_neighbors(model, inputs.skin)])
    batch = Batch.from_data_list(_systems(inputs))
    begun = False

    def run(steps: int) -> dict[str, Any]:
        nonlocal batch, begun
        if not begun:  # a first step would be made with the forces of nobody
            dynamics._call_hooks(DynamicsStage.BEFORE_COMPUTE, batch)
            dynamics.compute(batch)
            begun = True
        batch = dynamics.run(batch, steps)
        return {"kinetic": kinetic_energies(inputs, batch.velocities.numpy())}

    return run


def relax(inputs: Inputs) -> Round:
    """In flight, as many clusters at once as the budget allows. Its FIRE begins as that of ASE."""

    def run(_: int) -> dict[str, Any]:
        model = _model(inputs)
        systems = _systems(inputs)
        sink = HostMemory(capacity=len(systems))
        fire = FIRE(
            model,
            dt=0.1,
            dt_max=1.0,
            hooks=[],
            convergence_hook=ConvergenceHook.from_fmax(inputs.fmax, source_status=0, target_status=1),
        )
        stage = FusedStage(
            [(0, fire)], sampler=SizeAwareSampler(Clusters(systems), max_atoms=BUDGET), sinks=[sink], exit_status=1
        )
        stage.register_hook(_neighbors(model, 0.0, max_neighbors=LARGEST, method="batch_naive"))
        stage.run()
        # Not `sink.read()`: it fails on neighbor matrices of different widths, which it has stored with the systems.
        ended = sorted(sink._data_list, key=lambda data: int(data.place))
        return {"positions": torch.cat([data.positions for data in ended]).tolist()}

    return run


if __name__ == "__main__":
    serve({"boxes": nve, "crystal": nve, "clusters": relax})
