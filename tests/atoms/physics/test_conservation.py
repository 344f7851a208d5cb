"""What the equations of motion conserve, in runs of the engine: a hot Lennard-Jones fluid in a periodic box."""

from __future__ import annotations

import numpy as np
import pytest
from simulations import KELVIN, MASS, SIGMA, Observables, box

from adiabat.atoms import NVE, Batch, LennardJones, NVTNoseHoover
from adiabat.units import BOLTZMANN, ENERGY_PER_MASS

TEMPERATURE = 1.5 * KELVIN
SMOOTH = LennardJones(cutoff=2.0 * SIGMA, truncation="switch", onset=1.4 * SIGMA)
TIME_STEPS = (20.0, 10.0, 5.0)  # fs; a hundredth of the reduced unit of time is 21 fs
INTEGRATORS = [
    NVE(SMOOTH, dt=TIME_STEPS),
    NVTNoseHoover(SMOOTH, dt=TIME_STEPS, temperature=TEMPERATURE, relaxation_time=200.0),
]


def fluids(n):
    """Copies of one box of 32 atoms with the same velocities."""
    spread = np.sqrt(BOLTZMANN * TEMPERATURE * ENERGY_PER_MASS / MASS)
    velocities = np.random.default_rng(0).normal(scale=spread, size=(32, 3))
    return Batch.from_data_list([box(2, 0.5, 0, velocities=velocities, fixed_center=True)] * n)


def recorded(dynamics, batch, n_steps):
    """The batch after so many steps, and the observables on the way."""
    seen = Observables()
    dynamics.register_hook(seen)
    return dynamics.run(batch, n_steps), seen


@pytest.mark.parametrize("dynamics", INTEGRATORS, ids=lambda dynamics: type(dynamics).__name__)
def test_the_error_of_what_is_conserved_is_of_second_order(dynamics):
    """The same 3 ps in 150, 300 and 600 steps."""
    _, seen = recorded(dynamics, fluids(3), 600)
    error = np.array([seen["conserved"][: 150 * 2**k, k].std() for k in range(3)])
    print(f"{type(dynamics).__name__}: rms error of the conserved quantity {error} eV, ratios {error[:-1] / error[1:]}")
    # Trajectories of different time steps part after a while, hence the tolerance; the limit is 4.
    np.testing.assert_allclose(error[:-1] / error[1:], 4, rtol=0.1)
    assert seen["kinetic_energy"][:, 2].std() > 1000 * error[2]


def test_the_energy_does_not_drift_and_time_runs_backwards():
    nve = NVE(SMOOTH, dt=10.0)
    there, seen = recorded(nve, fluids(1), 8000)
    energy, kinetic = seen["conserved"][:, 0], seen["kinetic_energy"][:, 0]
    quarters = energy.reshape(4, -1).mean(axis=1)
    print(f"NVE, 80 ps: rms error {energy.std():.2e} eV, drift {quarters[3] - quarters[0]:.2e} eV")
    assert abs(quarters[3] - quarters[0]) < energy.std() < 1e-2 * kinetic.std()

    forth = nve.run(there, 300)
    back = nve.run(forth.replace(velocities=-forth.velocities), 300)
    away, error = (np.abs(np.asarray(b.positions) - there.positions).max() for b in (forth, back))
    print(f"NVE, 3 ps there and back: {away:.2f} angstrom away, {error:.1e} angstrom off")
    assert away > 1.0
    # Rounding grows as neighboring trajectories part, in this time by some orders of magnitude.
    assert error < 1e-9
