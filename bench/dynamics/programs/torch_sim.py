"""TorchSim: tensors of all atoms of a batch, one step of PyTorch after the other."""

from __future__ import annotations

from typing import Any

import torch

torch.set_num_threads(1)

import numpy as np  # noqa: E402
import torch_sim as ts  # noqa: E402
from torch_sim.integrators import MDState  # noqa: E402
from torch_sim.models.lennard_jones import LennardJonesModel  # noqa: E402
from torch_sim.neighbors import alchemiops_nl_cell_list, alchemiops_nl_n2, torch_nl_n2  # noqa: E402

from bench.dynamics.programs.served import Inputs, Round, kinetic_energies, serve  # noqa: E402

ARGON = 18
PS = 1e-3  # per fs
FS = 0.09822694788464063  # in angstrom sqrt(amu/eV), its unit of time inside
BUDGET = 800  # atoms under way at once
MANY = 100  # atoms of a system, for which lists by cells are faster


def _model(inputs: Inputs) -> Any:
    """With that of its neighbor lists that is fastest in the task; by default clusters take a hundred times as long."""
    small = alchemiops_nl_n2 if inputs.periodic else torch_nl_n2
    return LennardJonesModel(
        sigma=inputs.sigma,
        epsilon=inputs.epsilon,
        cutoff=inputs.cutoff,
        dtype=torch.float64,
        compute_stress=False,
        neighbor_list_fn=small if inputs.sizes.max() < MANY else alchemiops_nl_cell_list,
    )


def _arrays(inputs: Inputs) -> dict[str, Any]:
    n_atoms = len(inputs.positions)
    return {
        "positions": torch.tensor(inputs.positions),
        "masses": torch.full((n_atoms,), inputs.mass, dtype=torch.float64),
        "cell": torch.tensor(inputs.cells.transpose(0, 2, 1).copy()),
        "pbc": inputs.periodic,
        "atomic_numbers": torch.full((n_atoms,), ARGON),
        "system_idx": torch.tensor(np.repeat(np.arange(len(inputs.sizes)), inputs.sizes)),
    }


def nve(inputs: Inputs) -> Round:
    """One batch that goes on and on."""
    model, n_systems = _model(inputs), len(inputs.sizes)
    arrays = _arrays(inputs)
    forces = torch.zeros_like(arrays["positions"])
    momenta = torch.tensor(inputs.velocities / FS * inputs.mass)
    state = MDState(**arrays, momenta=momenta, forces=forces, energy=torch.zeros(n_systems, dtype=torch.float64))

    def run(steps: int) -> dict[str, Any]:
        nonlocal state
        state = ts.integrate(
            state,
            model,
            integrator=ts.Integrator.nve,
            n_steps=steps,
            temperature=0.0,  # of velocities that nobody draws
            timestep=inputs.dt * PS,
        )
        return {"kinetic": kinetic_energies(inputs, (state.momenta / inputs.mass).numpy())}

    return run


def relax(inputs: Inputs) -> Round:
    """In flight, as many clusters at once as the budget allows."""
    model = _model(inputs)

    def run(_: int) -> dict[str, Any]:
        batcher = ts.InFlightAutoBatcher(model=model, memory_scales_with="n_atoms", max_memory_scaler=BUDGET)
        state = ts.optimize(
            ts.SimState(**_arrays(inputs)),
            model,
            optimizer=ts.Optimizer.fire,
            convergence_fn=ts.generate_force_convergence_fn(force_tol=inputs.fmax, include_cell_forces=False),
            max_steps=1_000_000,
            autobatcher=batcher,
        )
        return {"positions": state.positions.numpy().tolist()}

    return run


if __name__ == "__main__":
    serve({"boxes": nve, "crystal": nve, "clusters": relax})
