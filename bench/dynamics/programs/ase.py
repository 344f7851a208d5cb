"""ASE: one system after the other, in Python and NumPy. What the others must agree with."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.lj import LennardJones
from ase.md.verlet import VelocityVerlet
from ase.optimize import FIRE

from bench.dynamics.programs.served import Inputs, Round, kinetic_energies, serve


def _atoms(inputs: Inputs) -> list[Any]:
    made = []
    for positions, velocities, cell in inputs.systems():
        atoms = Atoms(f"Ar{len(positions)}", positions, cell=cell, pbc=inputs.periodic)
        atoms.set_masses(np.full(len(positions), inputs.mass))
        atoms.set_velocities(velocities / units.fs)
        atoms.calc = LennardJones(sigma=inputs.sigma, epsilon=inputs.epsilon, rc=inputs.cutoff, smooth=False)
        made.append(atoms)
    return made


def nve(inputs: Inputs) -> Round:
    """Velocity Verlet."""
    systems = _atoms(inputs)
    movers = [VelocityVerlet(atoms, timestep=inputs.dt * units.fs) for atoms in systems]

    def run(steps: int) -> dict[str, Any]:
        for mover in movers:
            mover.run(steps)
        return {"kinetic": kinetic_energies(inputs, np.concatenate([atoms.get_velocities() for atoms in systems]))}

    return run


def relax(inputs: Inputs) -> Round:
    """FIRE."""

    def run(_: int) -> dict[str, Any]:
        systems = _atoms(inputs)
        done = [FIRE(atoms, logfile=None) for atoms in systems]
        for optimizer in done:
            optimizer.run(fmax=inputs.fmax, steps=100_000)
        positions = np.concatenate([atoms.positions for atoms in systems])
        return {"positions": positions.tolist(), "steps": [optimizer.nsteps for optimizer in done]}

    return run


if __name__ == "__main__":
    serve({"boxes": nve, "crystal": nve, "clusters": relax})
