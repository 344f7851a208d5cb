"""Energy and pressure of the Lennard-Jones fluid at published state points."""

from __future__ import annotations

import numpy as np
import pytest
from simulations import EPSILON, KELVIN, SIGMA, TAU, Recorder, box, mean_and_error

from adiabat.atoms import Batch, LennardJones, NVTLangevin

CUTOFF, TEMPERATURE = 3.0, 0.85  # sigma, epsilon/k
N_BOXES = 12

# Reduced density, and per-atom potential energy and pressure with their standard errors: Monte Carlo of 500 atoms with
# this cutoff and the corrections below. NIST Standard Reference Simulation Website, SRD 173, "Lennard-Jones Fluid
# Properties", https://mmlapps.nist.gov/srs/LJ_PURE/mc.htm.
PUBLISHED = {0.776: ((-5.5121, 4.6e-4), (6.77e-3, 1.72e-3)), 0.860: ((-6.0305, 2.38e-3), (1.2660, 1.36e-2))}


def beyond_the_cutoff(density: float) -> np.ndarray:
    """What atoms beyond the cutoff would add to energy and pressure if they were spread evenly.

    Allen and Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), eqs. (2.144) and (2.145).
    """
    r3, r9 = CUTOFF**-3, CUTOFF**-9
    return np.pi * density * np.array([8 / 3 * (r9 / 3 - r3), 16 / 3 * density * (2 / 3 * r9 - r3)])


def energy_and_virial(batch):
    """Per-atom energy and the part of the pressure that comes from forces, (S, 2), in reduced units."""
    virial = -np.trace(np.asarray(batch.stress), axis1=1, axis2=2) / 3
    return np.stack([batch.energy / (batch.n_atoms * EPSILON), virial * SIGMA**3 / EPSILON], axis=1)


@pytest.mark.slow
def test_energy_and_pressure_are_the_published_ones():
    """Boxes of both densities in one batch are melted, brought to temperature, and sampled.

    The averages of the boxes are independent, which makes their spread an honest error bar. With this time step the
    positions are too hot by 0.1 or 0.2 %, which is no more than an error bar.
    """
    potential = LennardJones(cutoff=CUTOFF * SIGMA, truncation="none")
    recorder = Recorder(energy_and_virial, frequency=10)

    def at(temperature, **settings):
        settings = {"dt": 0.005 * TAU, "friction": 2 / TAU, **settings}
        return NVTLangevin(potential, temperature=temperature * KELVIN, **settings)

    batch = Batch.from_data_list([box(5, density, seed) for density in PUBLISHED for seed in range(N_BOXES)])
    batch = at(3.0, initial_temperature=3.0 * KELVIN).run(batch, 300)
    batch = at(TEMPERATURE).run(batch, 1600)
    at(TEMPERATURE, stress=True, hooks=[recorder]).run(batch, 3000)

    for i, (density, published) in enumerate(PUBLISHED.items()):
        mean, error = mean_and_error(recorder.values()[:, i * N_BOXES : (i + 1) * N_BOXES])
        mean = mean + beyond_the_cutoff(density) + np.array([0, density * TEMPERATURE])
        for value, bar, (expected, its_bar), name in zip(mean, error, published, ("U", "p"), strict=True):
            print(f"rho {density}: {name} = {value:.4f} +- {bar:.4f}, published {expected:.4f} +- {its_bar:.4f}")
            assert bar < (0.006 if name == "U" else 0.03)
            assert abs(value - expected) < 4 * np.hypot(bar, its_bar)
