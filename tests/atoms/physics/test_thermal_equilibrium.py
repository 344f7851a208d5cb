"""Temperatures of velocities and of positions, and how many degrees of freedom there are, in runs of the engine."""

from __future__ import annotations

import numpy as np
import pytest
from simulations import KELVIN, SIGMA, Observables, Recorder, box, mean_and_error

from adiabat.atoms import NVE, AtomicData, Batch, Harmonic, LennardJones, NVTLangevin, NVTNoseHoover
from adiabat.units import BOLTZMANN, ENERGY_PER_MASS

TEMPERATURE = 2.0 * KELVIN
SMOOTH = LennardJones(cutoff=1.7 * SIGMA, truncation="switch", onset=1.3 * SIGMA)
HEAVY = np.arange(32) % 4 == 0
MASSES = np.where(HEAVY, 100.0, 20.0)  # amu
HELD = np.arange(32) % 8 < 2  # four heavy atoms and four light ones
KINDS = ({"fixed_center": True}, {"fixed": HELD}, {"fixed": HELD, "fixed_center": True})
N_BOXES = 8
STARTED = {"dt": 10.0, "initial_temperature": TEMPERATURE}
INTEGRATORS = [
    NVE(SMOOTH, **STARTED),
    NVTLangevin(SMOOTH, temperature=TEMPERATURE, friction=0.003, **STARTED),
    NVTNoseHoover(SMOOTH, temperature=TEMPERATURE, relaxation_time=150.0, **STARTED),
]
EVERY = 20  # steps between two samples


def shares(fixed=None, fixed_center=False):
    """Degrees of freedom of each atom, over three: an atom that moves has 1, less its part in the centre of mass where
    that is fixed, ``1 - m_i/M``."""
    moving = np.ones(32, bool) if fixed is None else ~fixed
    return moving * (1 - fixed_center * MASSES / np.sum(MASSES[moving]))


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", INTEGRATORS, ids=lambda dynamics: type(dynamics).__name__)
def test_energy_is_shared_equally_among_the_degrees_of_freedom_there_are(dynamics):
    """Light and heavy atoms have one temperature, which is the one reported and that of the bath."""
    boxes = [box(2, 0.7, seed, masses=MASSES, **kind) for kind in KINDS for seed in range(N_BOXES)]
    batch = Batch.from_data_list(boxes)

    def twice_kinetic(batch):
        """Of light and heavy atoms, (S, 2)."""
        each = MASSES * np.sum(np.asarray(batch.velocities) ** 2, axis=2) / ENERGY_PER_MASS
        return np.stack([each[:, ~HEAVY].sum(axis=1), each[:, HEAVY].sum(axis=1)], axis=1)

    recorder, seen = Recorder(twice_kinetic, EVERY), Observables()
    dynamics.register_hook(recorder)
    dynamics.register_hook(seen)
    after = dynamics.run(batch, 6000)

    energies, temperatures = recorder.values(), seen["temperature"][::EVERY]
    for i, kind in enumerate(KINDS):
        of_kind = slice(i * N_BOXES, (i + 1) * N_BOXES)
        share = shares(**kind)
        freedom = 3 * np.array([share[~HEAVY].sum(), share[HEAVY].sum()])
        reported = temperatures[:, of_kind]
        np.testing.assert_allclose(
            energies[:, of_kind].sum(axis=-1), BOLTZMANN * freedom.sum() * reported, rtol=1e-10
        )  # the temperature reported counts the degrees of freedom there are
        of_each = energies[50:, of_kind] / (BOLTZMANN * freedom)
        (light, heavy), _ = mean_and_error(of_each)
        difference, bar = mean_and_error(of_each[..., 1] - of_each[..., 0])
        mean, its_bar = mean_and_error(reported[50:])
        print(
            f"{type(dynamics).__name__}, {', '.join(kind)}: light {light:.1f} K, heavy {heavy:.1f} K, difference "
            f"{difference:.1f} +- {bar:.1f} K, all {mean:.2f} +- {its_bar:.2f} K, bath {TEMPERATURE:.2f} K"
        )
        assert bar < 0.03 * TEMPERATURE
        assert abs(difference) < 4 * bar
        if not isinstance(dynamics, NVE):
            assert its_bar < 0.01 * TEMPERATURE  # three degrees of freedom more are 3 to 4 times as much
            assert abs(mean - TEMPERATURE) < 4 * its_bar
    held = np.asarray(batch.fixed)
    np.testing.assert_array_equal(np.asarray(after.positions)[held], np.asarray(batch.positions)[held])
    centers = [np.einsum("sna,n->sa", np.asarray(b.positions)[:N_BOXES], MASSES) / MASSES.sum() for b in (batch, after)]
    np.testing.assert_allclose(*centers, rtol=0, atol=1e-10)


def test_langevin_dynamics_has_the_exact_positions_in_a_harmonic_well():
    """At a time step at which the velocities are too cold by more than a third; one atom in seven is fixed."""
    stiffness, mass, omega_dt, temperature = 1.0, 10.0, 1.2, 300.0
    dt = omega_dt * np.sqrt(mass / (stiffness * ENERGY_PER_MASS))
    sites = np.random.default_rng(0).normal(size=(7, 3))
    one = AtomicData(sites, [18] * 7, masses=[mass] * 7, fixed=np.arange(7) == 3, atom_fields={"sites": sites})

    seen = Observables()
    langevin = NVTLangevin(
        Harmonic(spring_constant=stiffness), dt=dt, temperature=temperature, friction=0.5 / dt, hooks=[seen]
    )
    langevin.run(Batch.from_data_list([one] * 40), 1500)
    # Six atoms move, and k_B T/2 is the energy of each of their coordinates.
    of_positions, of_velocities = 2 * seen["energy"] / (6 * 3 * BOLTZMANN), seen["temperature"]
    mean, error = mean_and_error(np.stack([of_positions, of_velocities], axis=2)[100:])
    expected = temperature * np.array([1, 1 - omega_dt**2 / 4])
    print(f"temperatures of positions and velocities {mean} +- {error} K, expected {expected}")
    assert np.all(error < 2.5)
    assert np.all(np.abs(mean - expected) < 4 * error)
