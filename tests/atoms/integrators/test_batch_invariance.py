"""A system does not know its neighbours, its slot or the padding; what is fixed keeps every bit."""

import jax
import numpy as np
import pytest
from integrator_toys import batch_of, cluster, crystal, lennard_jones, morse_crystal, program

from adiabat.atoms.integrators import FIRE, FIRE2, NVE, FrechetCell, GradientDescent, NVTLangevin, NVTNoseHoover

INTEGRATORS = [
    NVE(lennard_jones, dt=2.0),
    NVTLangevin(lennard_jones, dt=2.0, temperature=300.0, initial_temperature=200.0),
    NVTNoseHoover(lennard_jones, dt=2.0, temperature=300.0, initial_temperature=200.0),
    FIRE(lennard_jones),
    FIRE2(lennard_jones, n_min=3),
    GradientDescent(lennard_jones),
    FIRE(morse_crystal, cell=FrechetCell(pressure=3.0)),
]


def with_velocities(structure, seed):
    shape = np.shape(structure["positions"])
    return {**structure, "velocities": 0.01 * np.random.default_rng(seed).normal(size=shape)}


def of_system(batch, slot):
    """The bits of one slot, the system's private rows included."""
    rows = batch.replace(clock=None)
    return [np.asarray(leaf[slot]).tobytes() for leaf in jax.tree.leaves(rows)]


@pytest.mark.parametrize("dynamics", INTEGRATORS, ids=lambda d: type(d).__name__)
def test_bits_of_a_system_depend_on_nobody_else_and_those_of_fixed_atoms_on_nothing(dynamics):
    has_cell = getattr(dynamics, "cell", None) is not None
    make = crystal if has_cell else (lambda n, seed: {"positions": cluster(n, seed)})
    ours, *others = (with_velocities(make(n, n), n) for n in (3, 2, 1))
    ours["positions"][0] = [-0.0, 0.0, 1e-310]
    ours["fixed"] = np.array([True, False, False])
    together = batch_of([others[0], ours, others[1], None, others[0]], ids=[5, 6, 7, 0, 8])
    alone = batch_of([None, ours, None, None, None], ids=[0, 6, 0, 0, 0], n_atoms=3)
    elsewhere = batch_of([others[1], others[0], others[0], others[1], ours], ids=[1, 2, 3, 4, 6])

    steps = program(dynamics, 40)
    results = [steps(batch)[0] for batch in (together, alone, elsewhere)]
    assert of_system(results[0], 1) == of_system(results[1], 1) == of_system(results[2], 4)
    assert of_system(results[0], 1) != of_system(results[0], 0)
    for result in results:
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.replace(clock=None)))
    assert np.all(np.asarray(results[1].positions)[[0, 2, 3, 4]] == 0)

    moved = np.asarray(results[0].positions[1]) - ours["positions"]
    assert np.all(np.abs(moved[1:]).max(axis=1) > 1e-3)
    if not has_cell:  # with which fixed atoms go along
        assert np.asarray(results[0].positions[1, 0]).tobytes() == ours["positions"][0].tobytes()
