"""Hooks that are compiled into the step: the force clamp, wrapping, and the forces with which a system begins."""

import jax.numpy as jnp
import numpy as np
import pytest
from building import batch_of
from hook_toys import SPRINGS, batch_of_clusters

from adiabat.atoms import FIRE, NVE, FusedStage, MaxForceClamp, NVTLangevin, WrapPositions
from adiabat.atoms.potentials import LennardJones
from adiabat.engine import AbstractCallback, HookStageEnum
from adiabat.errors import InputError

ARGON = LennardJones(pairs={("Ar", "Ar"): (0.0104, 3.4)}, cutoff=8.5)


class Fmax(AbstractCallback):
    def __init__(self):
        self.rows = []

    def on_rows(self, rows, driver):
        self.rows += [row["fmax"] for row in rows]


def test_no_force_exceeds_the_clamp_from_the_first_one_on_and_the_log_shows_what_it_did():
    clamp, log = MaxForceClamp(6.0), Fmax()
    batch = batch_of_clusters()
    after = NVE(SPRINGS, dt=0.1, hooks=[clamp, log]).run(batch, 1)
    size = np.linalg.norm(after.forces, axis=-1)
    raw = np.asarray(SPRINGS.evaluate(after).forces)
    length = np.linalg.norm(raw, axis=-1)
    assert size.max() <= 6.0 * (1 + 1e-15)
    assert length.max() > 6.0 > length[np.asarray(batch.real)].min()
    np.testing.assert_allclose(after.forces, raw * np.minimum(1, 6.0 / np.maximum(length, 6.0))[..., None], rtol=1e-13)
    np.testing.assert_allclose(log.rows, np.max(length, axis=1), rtol=1e-13)
    # The first half of the kick is clamped, too: m v = F t.
    forces = np.asarray(SPRINGS.evaluate(batch).forces)
    first = np.linalg.norm(forces, axis=-1, keepdims=True)
    kicked = 0.05 * 9.648533212331002e-3 * forces * np.minimum(1, 6.0 / np.maximum(first, 6.0))
    moved = 0.1 * kicked / np.asarray(batch.masses)[..., None]
    np.testing.assert_allclose(after.positions - batch.positions, moved, rtol=1e-9, atol=1e-15)


def test_a_clamp_repairs_nothing_that_is_no_number():
    batch = batch_of_clusters(1)
    forces = jnp.asarray(batch.forces).at[0, 0].set(jnp.nan).at[0, 1].set(jnp.inf)
    after = MaxForceClamp(0.5)(batch.replace(forces=forces), None)
    assert np.isnan(after.forces[0, 0]).all()
    assert not np.isfinite(after.forces[0, 1]).any()
    with pytest.raises(InputError, match=r"max_force is 0\.0; expected a positive number"):
        MaxForceClamp(0.0)
    with pytest.raises(InputError, match="frequency of MaxForceClamp"):
        MaxForceClamp(1.0, frequency=0)


class Tilt:
    """A constant force on all atoms, on the host or compiled in."""

    stages = (HookStageEnum.AFTER_COMPUTE,)
    frequency = 1

    def __init__(self, traced):
        self.traced = traced
        self.calls = 0

    def __call__(self, batch, driver):
        self.calls += 1
        return batch.replace(forces=batch.forces + 1.0 * batch.real[..., None])


@pytest.mark.parametrize("traced", [True, False])
def test_hooks_at_compute_are_called_for_the_forces_with_which_a_system_begins(traced):
    """So that a bias acts in the first step as in all others: the centre of mass is accelerated evenly."""
    tilt, batch = Tilt(traced), batch_of_clusters()
    after = NVE(SPRINGS, dt=0.1, hooks=[tilt]).run(batch, 3)
    masses = np.asarray(batch.masses)[..., None] * np.asarray(batch.real)[..., None]
    momentum = np.sum(masses * after.velocities, axis=1)
    atoms = np.asarray(batch.real).sum(axis=1)[:, None]
    np.testing.assert_allclose(momentum, np.broadcast_to(0.3 * 9.648533212331002e-3 * atoms, momentum.shape), rtol=1e-9)
    assert traced or tilt.calls == 4


@pytest.mark.parametrize("traced", [True, False])
def test_a_hook_of_one_sub_stage_acts_on_the_forces_with_which_systems_enter_that_one(traced):
    """Although the stages share their potential, so that without hooks nothing is computed on the way."""
    batch, masses = batch_of_clusters(), None
    fall = NVE(SPRINGS, dt=0.1, n_steps=2, hooks=[Tilt(traced)])
    after = (FIRE(SPRINGS, n_steps=3) + fall).run(batch)
    masses = np.asarray(batch.masses)[..., None] * np.asarray(batch.real)[..., None]
    momentum = np.sum(masses * after.velocities, axis=1)
    atoms = np.asarray(batch.real).sum(axis=1)[:, None]
    np.testing.assert_allclose(momentum, np.broadcast_to(0.2 * 9.648533212331002e-3 * atoms, momentum.shape), rtol=1e-9)


@pytest.mark.parametrize("traced", [True, False])
def test_a_criterion_sees_the_forces_that_a_hook_has_made(traced):
    """All atoms are pulled along for ever: their springs come to rest, they themselves do not."""
    batch = batch_of_clusters()
    free = FIRE(SPRINGS, fmax=0.05, n_steps=400).run(batch)
    assert np.all(np.asarray(free.clock.age) < 400)
    log = Fmax()
    pulled = FIRE(SPRINGS, fmax=0.05, n_steps=400, hooks=[Tilt(traced), log]).run(batch)
    np.testing.assert_array_equal(pulled.clock.age, 400)
    raw = np.linalg.norm(np.asarray(SPRINGS.evaluate(pulled).forces), axis=-1)
    assert raw.max() < 0.05
    assert not traced or np.asarray(log.rows)[-1].max() < 0.05, "what is computed before the hook is what rows show"


def argon():
    """A perturbed argon crystal, oblique, its atoms moving; once in bulk and once as a slab."""
    rng = np.random.default_rng(3)
    cell = 10.6 * np.array([[1, 0, 0], [0.2, 1, 0], [0, -0.1, 1.0]])
    corners = np.stack(np.meshgrid(*[[0.1, 0.5]] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = corners @ cell + rng.normal(size=(8, 3)) * 0.1
    batch = batch_of([positions] * 2, [cell] * 2, [(True, True, True), (True, False, True)])
    return batch.replace(velocities=0.02 * rng.normal(size=batch.positions.shape), masses=40.0 * batch.masses)


def test_wrapping_brings_atoms_back_along_periodic_directions_only_and_changes_no_energy():
    batch = argon()
    inverse = np.linalg.inv(batch.cell[0])
    inside = NVE(ARGON, dt=5.0, hooks=[WrapPositions()]).run(batch, 150)
    free = NVE(ARGON, dt=5.0).run(batch, 150)
    np.testing.assert_allclose(inside.energy, free.energy, rtol=0, atol=1e-10)
    apart = (np.asarray(free.positions) - np.asarray(inside.positions)) @ inverse
    np.testing.assert_allclose(apart, np.round(apart), atol=1e-7)
    assert np.abs(apart).max(axis=(0, 1)).min() > 0.5
    assert np.abs(apart[1, :, 1]).max() < 1e-7
    fractions = np.asarray(inside.positions)[0] @ inverse
    assert fractions.min() > -1e-12
    assert fractions.max() < 1 + 1e-12


def test_wrapping_leaves_fixed_atoms_and_atoms_inside_as_they_are():
    batch = argon()
    far = jnp.asarray(batch.positions).at[0, 0].add(batch.cell[0, 0] * 3).at[0, 1].add(batch.cell[0, 0] * 3)
    fixed = jnp.asarray(batch.fixed).at[0, 0].set(True)
    after = WrapPositions()(batch.replace(positions=far, fixed=fixed), None)
    np.testing.assert_array_equal(after.positions[0, 0], far[0, 0])
    np.testing.assert_allclose(after.positions[0, 1], batch.positions[0, 1], atol=1e-12)
    np.testing.assert_array_equal(after.positions[0, 2:], batch.positions[0, 2:])
    isolated = batch.replace(cell=jnp.zeros_like(batch.cell), pbc=jnp.zeros_like(batch.pbc))
    np.testing.assert_array_equal(WrapPositions()(isolated, None).positions, batch.positions)


def test_traced_hooks_of_a_fused_stage_leave_resting_systems_alone():
    batch = batch_of_clusters()
    fused = FusedStage([(0, NVTLangevin(SPRINGS, temperature=50.0, n_steps=3))], hooks=[Tilt(True)])
    once = fused.run(batch)
    again = fused.run(once)
    np.testing.assert_array_equal(once.forces, again.forces)
