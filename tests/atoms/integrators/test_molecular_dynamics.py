"""What physics says of trajectories: conservation, reversibility, equilibrium distributions."""

import dataclasses
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from integrator_toys import TETRAHEDRON, batch_of, free, in_a_well, quick_jit, run, wells

from adiabat.atoms.integrators import NVE, NVTLangevin, NVTNoseHoover, maxwell_boltzmann
from adiabat.atoms.integrators.maxwell_boltzmann import thermal_velocities
from adiabat.atoms.motion import temperature
from adiabat.errors import InputError
from adiabat.units import BOLTZMANN, ENERGY_PER_MASS


def hot_tetrahedra(n, ids=None, **fields):
    """Copies of a cluster of different masses at about 600 K, all with the same velocities."""
    masses = np.array([10.0, 20.0, 30.0, 40.0])
    noise = np.random.default_rng(0).normal(size=(4, 3)) * np.sqrt(BOLTZMANN * 600 * ENERGY_PER_MASS / masses)[:, None]
    one = {"positions": TETRAHEDRON, "masses": masses, "velocities": noise, **fields}
    return batch_of([one] * n, ids=ids)


def fluctuation(dynamics, n_steps=200, **fields):
    """Standard deviation of the conserved quantity of two systems in the same time, the second in twice the steps."""
    _, seen = run(dynamics, hot_tetrahedra(2, **fields), 2 * n_steps, dynamics.observables)
    conserved = seen["conserved"]
    return np.array([np.std(conserved[:n_steps, 0]), np.std(conserved[:, 1])]), seen


def mean_and_error(samples):
    """Of independent replicas, which stand in the last axis, each with correlated samples."""
    replicas = samples.mean(axis=0)
    return replicas.mean(), replicas.std(ddof=1) / np.sqrt(replicas.size)


# --- NVE -----------------------------------------------------------------------------------------------------


def test_the_energy_error_of_nve_is_of_second_order():
    error, seen = fluctuation(NVE(in_a_well, dt=(1.0, 0.5)))
    assert error[0] / error[1] == pytest.approx(4, abs=0.2)
    assert np.std(seen["kinetic_energy"][:, 0]) > 100 * error[0]


def test_nve_runs_backwards():
    there, _ = run(NVE(in_a_well), hot_tetrahedra(1), 300)
    back, _ = run(NVE(in_a_well), there.replace(velocities=-there.velocities), 300)
    assert np.abs(there.positions[0] - TETRAHEDRON).max() > 0.1
    np.testing.assert_allclose(back.positions[0], TETRAHEDRON, rtol=0, atol=1e-10)


def test_a_fixed_center_stays_where_total_forces_would_move_it():
    batch = hot_tetrahedra(1, fixed_center=True)
    masses = np.asarray(batch.masses[0])[:, None]
    _, positions = run(NVE(in_a_well), batch, 200, lambda b: b.positions[0])
    center = (masses * positions).sum(axis=1) / masses.sum()
    np.testing.assert_allclose(center, np.broadcast_to(center[0], center.shape), rtol=0, atol=1e-14)


# --- Langevin ------------------------------------------------------------------------------------------------


def test_baoab_has_the_exact_positions_in_a_harmonic_well_at_any_time_step():
    mass, omega_dt = 10.0, 1.2
    dt = omega_dt * np.sqrt(mass / ENERGY_PER_MASS)
    batch = batch_of([{"positions": np.zeros((6, 3)), "masses": np.full(6, mass)}] * 40)
    dynamics = NVTLangevin(wells, dt=dt, temperature=300.0, friction=0.5 / dt, initial_temperature=300.0)
    _, (x2, kinetic) = run(
        dynamics, batch, 1200,
        lambda b: (jnp.mean(b.positions**2, axis=(1, 2)), dynamics.observables(b)["temperature"]),
    )  # fmt: skip
    configurational, error = mean_and_error(x2[100:] / BOLTZMANN)
    assert error < 2.0
    assert abs(configurational - 300.0) < 4 * error
    # The velocities pay for it: their temperature is too low by (omega dt)**2 / 4, here by more than a third.
    kinetic_temperature, error = mean_and_error(kinetic[100:])
    assert abs(kinetic_temperature - 300.0 * (1 - omega_dt**2 / 4)) < 4 * error


def test_the_effective_energy_of_langevin_dynamics_is_conserved_to_second_order():
    error, seen = fluctuation(NVTLangevin(in_a_well, dt=(1.0, 0.5), temperature=600.0, friction=0.02))
    assert 3 < error[0] / error[1] < 6  # the two see different noise
    assert np.std(seen["kinetic_energy"][:, 0]) > 100 * error[0]


def test_equipartition_with_reduced_degrees_of_freedom():
    """Of free particles: each moving atom has 3 k_B T / 2, less its share in what is fixed."""
    masses = np.array([1.0, 5.0, 20.0, 100.0])
    one = {"positions": np.zeros((4, 3)), "masses": masses}
    centered, held = {**one, "fixed_center": True}, {**one, "fixed": np.array([False, True, False, False])}
    n = 32
    dynamics = NVTLangevin(free, dt=10.0, temperature=300.0, friction=0.1)
    _, (squares, temperature) = run(
        dynamics, batch_of([one] * n + [centered] * n + [held] * n), 500,
        lambda b: (
            b.masses * jnp.sum(b.velocities**2, axis=2) / (3 * BOLTZMANN * ENERGY_PER_MASS),
            dynamics.observables(b)["temperature"],
        ),
    )  # fmt: skip
    shares = {0: np.ones(4), 1: 1 - masses / masses.sum(), 2: np.array([1.0, 0, 1, 1])}
    for kind, share in shares.items():
        chosen = slice(kind * n, (kind + 1) * n)
        for atom in range(4):
            mean, error = mean_and_error(squares[20:, chosen, atom])
            assert abs(mean - 300.0 * share[atom]) <= 4.5 * error
        mean, error = mean_and_error(temperature[20:, chosen])
        assert error < 5
        assert abs(mean - 300.0) < 4 * error


def test_replicas_have_noise_of_their_own():
    """Velocities that forget everything each step are the noise; no replica has another's, now or later."""
    dynamics = NVTLangevin(free, dt=10.0, temperature=300.0, friction=10.0)
    batch = batch_of([{"positions": np.zeros((3, 3))}] * 5, ids=[0, 1, 2, 3, 1000])
    _, noise = run(dynamics, batch, 200, lambda b: b.velocities)
    streams = np.moveaxis(noise, 1, 0).reshape(5, 200, 9) / noise.std()
    bound = 5.5 / np.sqrt(190 * 9)
    for a in range(5):
        for b in range(5):
            for lag in range(-5, 6):
                here = streams[a, 5:-5]
                there = streams[b, 5 + lag : 195 + lag]
                correlation = abs((here * there).mean())
                assert correlation < bound if (a, lag) != (b, 0) else correlation > 0.8
    atoms = np.corrcoef(noise.reshape(200 * 5, 9).T) - np.eye(9)
    assert np.abs(atoms).max() < 5.5 / np.sqrt(1000)


def test_noise_does_not_know_the_padding():
    draw = quick_jit(lambda b: thermal_velocities(b, jnp.full(2, 300.0), b.random_keys("noise")))
    small, large = (np.asarray(draw(batch_of([{"positions": np.zeros((3, 3))}] * 2, n_atoms=n))) for n in (3, 7))
    np.testing.assert_array_equal(small, large[:, :3])
    np.testing.assert_array_equal(large[:, 3:], 0.0)


def test_temperature_by_system_and_by_schedule():
    batch = batch_of([{"positions": np.zeros((50, 3))}] * 4, ids=[3, 2, 1, 0])
    by_system = NVTLangevin(free, dt=1.0, temperature=(0.0, 100.0, 200.0, 400.0), friction=10.0)
    _, seen = run(by_system, batch, 30, by_system.observables)
    np.testing.assert_allclose(seen["temperature"][1:].mean(axis=0), [400.0, 200.0, 100.0, 0.0], rtol=0.05)

    by_schedule = NVTLangevin(free, dt=1.0, temperature=lambda step: jnp.where(step < 10, 100.0, 900.0), friction=10.0)
    _, seen = run(by_schedule, batch, 30, by_schedule.observables)
    np.testing.assert_allclose(seen["temperature"][1:10].mean(), 100.0, rtol=0.1)
    np.testing.assert_allclose(seen["temperature"][10:].mean(), 900.0, rtol=0.1)


# --- Nose-Hoover ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chain_length", "n_substeps"), [(1, 1), (4, 3)])
def test_the_conserved_quantity_of_a_nose_hoover_chain_is_conserved_to_second_order(chain_length, n_substeps):
    dynamics = NVTNoseHoover(
        in_a_well,
        dt=(1.0, 0.5),
        temperature=500.0,
        relaxation_time=20.0,
        chain_length=chain_length,
        n_substeps=n_substeps,
    )
    error, seen = fluctuation(dynamics, fixed_center=True)
    assert error[0] / error[1] == pytest.approx(4, abs=0.2)
    energy = seen["conserved"] - seen["kinetic_energy"]
    assert np.std(energy[:, 0]) > 50 * error[0]


def test_a_nose_hoover_chain_brings_the_temperature_of_all_degrees_of_freedom():
    n = 24
    dynamics = NVTNoseHoover(in_a_well, dt=2.0, temperature=500.0, relaxation_time=30.0, initial_temperature=300.0)
    one = {"positions": TETRAHEDRON, "masses": np.array([10.0, 20.0, 30.0, 40.0])}
    batch = batch_of([one] * n + [{**one, "fixed": np.array([True, False, False, False])}] * n)
    _, seen = run(dynamics, batch, 4000, dynamics.observables)
    for half in (slice(0, n), slice(n, None)):
        mean, error = mean_and_error(seen["temperature"][500:, half])
        assert error < 8
        assert abs(mean - 500.0) < 4 * error


# --- velocities to start with, and settings ------------------------------------------------------------------


def test_drawn_velocities_have_the_temperature_asked_for():
    one = {"positions": np.zeros((20, 3)), "masses": np.linspace(1, 50, 20)}
    batch = batch_of([one, {**one, "fixed_center": True}, {**one, "fixed": np.arange(20) < 5}, None] * 40)
    drawn = quick_jit(lambda b: temperature(maxwell_boltzmann(b, 300.0)))(batch)
    for kind in range(3):
        sample = np.asarray(drawn)[kind::4]
        assert abs(sample.mean() - 300.0) < 4 * sample.std() / np.sqrt(len(sample))
    assert np.asarray(drawn).std() > 10
    assert np.all(np.asarray(drawn)[3::4] == 0)


def test_drawn_velocities_can_be_scaled_and_brought_to_rest():
    one = {"positions": np.zeros((5, 3)), "masses": np.arange(1.0, 6.0)}
    batch = batch_of([one, {**one, "fixed": np.arange(5) == 2}, one, None])
    draw = partial(maxwell_boltzmann, at=(300.0, 50.0, 0.0), exact=True, without_drift=True)
    drawn = quick_jit(draw)(batch)
    np.testing.assert_allclose(quick_jit(temperature)(drawn), [300.0, 50.0, 0.0, 0.0], rtol=1e-12)
    momentum = np.sum(np.asarray(batch.masses)[..., None] * np.asarray(drawn.velocities), axis=1)
    np.testing.assert_allclose(momentum, 0.0, atol=1e-15)
    assert not np.allclose(drawn.velocities[0, 0], drawn.velocities[0, 1])
    np.testing.assert_array_equal(drawn.velocities[1, 2], 0.0)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: NVE(free, dt=0.0), "NVE.dt"),
        (lambda: NVTLangevin(free, temperature=-1.0), "NVTLangevin.temperature"),
        (lambda: NVTLangevin(free, temperature=[300.0, -1.0]), "NVTLangevin.temperature"),
        (lambda: NVTLangevin(free, temperature=300.0, friction=-0.1), "NVTLangevin.friction"),
        (lambda: NVTNoseHoover(free, temperature=0.0), "NVTNoseHoover.temperature"),
        (lambda: NVTNoseHoover(free, temperature=300.0, chain_length=0), "NVTNoseHoover.chain_length"),
        (lambda: NVTNoseHoover(free, temperature="warm"), "NVTNoseHoover.temperature"),
    ],
)
def test_settings_that_make_no_sense_are_named(unchecked, make, names):
    with pytest.raises(InputError, match=names):
        make()


def test_settings_are_kept_in_one_form(unchecked):
    assert dataclasses.replace(NVE(free, dt=2), dt=np.array([3, 4])).dt == (3.0, 4.0)
