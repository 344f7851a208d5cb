"""Constraints and what they leave to move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.atoms.batch import Batch
from adiabat.atoms.motion import (
    constrained_forces,
    degrees_of_freedom,
    displace,
    drift,
    inverse_masses,
    kick,
    kinetic_energy,
    temperature,
    without_center_motion,
)
from adiabat.units import BOLTZMANN, ENERGY_PER_MASS


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def batch():
    """Free, with a fixed atom, with a fixed centre, with both, one atom with a fixed centre, nothing."""
    rng = np.random.default_rng(0)
    real = np.array([4, 4, 4, 4, 1, 0])[:, None] > np.arange(4)
    fixed = np.zeros((6, 4), bool)
    fixed[[1, 3], 2] = True

    def full():
        return np.where(real[..., None], rng.normal(size=(6, 4, 3)), 0.0)

    batch = Batch(
        positions=full(),
        numbers=real.astype(np.int32),
        masses=np.where(real, rng.uniform(1, 50, (6, 4)), 1.0),
        velocities=full(),
        cell=np.zeros((6, 3, 3)),
        pbc=np.zeros((6, 3), bool),
        energy=np.zeros(6),
        forces=full(),
        stress=np.zeros((6, 3, 3)),
        fixed=fixed,
        fixed_center=np.array([False, False, True, True, True, False]),
    )
    return jax.tree.map(jnp.asarray, batch)


def momentum(batch, velocities):
    moving = np.asarray(batch.real & ~batch.fixed)
    return np.sum(np.where(moving, batch.masses, 0.0)[..., None] * velocities, axis=1)


def test_degrees_of_freedom_are_counted(batch):
    np.testing.assert_array_equal(degrees_of_freedom(batch), [12, 9, 9, 6, 0, 0])


def test_kinetic_energy_and_temperature_of_what_moves(batch):
    moving = np.asarray(batch.real & ~batch.fixed)
    expected = [
        0.5 * np.sum(batch.masses[s][moving[s]][:, None] * batch.velocities[s][moving[s]] ** 2) / ENERGY_PER_MASS
        for s in range(6)
    ]
    np.testing.assert_allclose(kinetic_energy(batch), expected, rtol=1e-14)
    freedom = np.array([12, 9, 9, 6, 1, 1])
    kelvin = np.where([1, 1, 1, 1, 0, 0], 2 * np.array(expected) / (freedom * BOLTZMANN), 0.0)
    np.testing.assert_allclose(temperature(batch), kelvin, rtol=1e-14)


def test_the_unit_of_time_is_the_femtosecond():
    """1 amu at 1 angstrom/fs has 0.5 amu angstrom**2/fs**2, 51.82 eV."""
    np.testing.assert_allclose(0.5 / ENERGY_PER_MASS, 51.8213, rtol=1e-6)


def test_kicks_accelerate_what_moves_and_leave_fixed_centers(batch):
    after = kick(batch, jnp.full(6, 2.0))
    acceleration = np.asarray(batch.forces) * ENERGY_PER_MASS / batch.masses[..., None]
    np.testing.assert_allclose(after.velocities[0], batch.velocities[0] + 2 * acceleration[0], rtol=1e-14)
    np.testing.assert_array_equal(after.velocities[1, 2], batch.velocities[1, 2])
    np.testing.assert_allclose(momentum(batch, after.velocities)[2:5], 0.0, atol=1e-13)
    # Only the common part is taken out.
    difference = after.velocities[2] - (batch.velocities[2] + 2 * acceleration[2])
    np.testing.assert_allclose(difference, np.broadcast_to(difference[0], (4, 3)), atol=1e-15)


def test_drifts_and_displacements_leave_fixed_atoms_where_they_are(batch):
    after = drift(batch, jnp.full(6, 3.0))
    np.testing.assert_allclose(after.positions[0], batch.positions[0] + 3 * batch.velocities[0], rtol=1e-14)
    assert np.asarray(after.positions[1, 2]).tobytes() == np.asarray(batch.positions[1, 2]).tobytes()
    after = displace(batch, jnp.ones((6, 4, 3)))
    moved = np.asarray(after.positions != batch.positions).all(axis=2)
    np.testing.assert_array_equal(moved, batch.real & ~batch.fixed)


def test_velocities_relative_to_the_center(batch):
    velocities = without_center_motion(batch, jnp.asarray(batch.velocities))
    np.testing.assert_array_equal(velocities[:2], batch.velocities[:2])
    np.testing.assert_allclose(momentum(batch, velocities)[2:5], 0.0, atol=1e-13)
    np.testing.assert_array_equal(velocities[3, 2], batch.velocities[3, 2])


def test_constrained_forces_are_the_part_that_constraints_leave(batch):
    forces = np.asarray(constrained_forces(batch))
    np.testing.assert_array_equal(forces[0], batch.forces[0])
    np.testing.assert_array_equal(forces[[1, 3], 2], 0.0)
    np.testing.assert_allclose(momentum(batch, forces)[2:5], 0.0, atol=1e-13)
    # What was taken out is perpendicular to all that may happen: it is the nearest such force.
    taken = batch.forces[2] - forces[2]
    assert np.sum(taken * forces[2]) == pytest.approx(0.0, abs=1e-13)
    assert np.isfinite(forces).all()
    by_numpy = constrained_forces(batch, np)
    assert isinstance(by_numpy, np.ndarray)
    np.testing.assert_allclose(by_numpy, forces, rtol=1e-14, atol=1e-16)


def test_inverse_masses(batch):
    inverse = np.asarray(inverse_masses(batch))[..., 0]
    np.testing.assert_array_equal(inverse > 0, batch.real & ~batch.fixed)
    np.testing.assert_allclose(inverse[0], ENERGY_PER_MASS / batch.masses[0], rtol=1e-15)
