"""FIRE, FIRE2 and gradient descent go where ASE goes, step for step."""

import numpy as np
import pytest
from ase.constraints import FixAtoms, FixCom
from ase.optimize import FIRE as AseFIRE
from ase.optimize.fire2 import FIRE2 as AseFIRE2
from integrator_toys import TETRAHEDRON, OfEnergy, ase_trajectory, batch_of, cluster, free, lennard_jones, run

from adiabat.atoms.integrators import FIRE, FIRE2, FrechetCell, GradientDescent
from adiabat.errors import InputError

MIXED = [
    {"positions": cluster(5, 1)},
    {"positions": cluster(8, 2), "fixed": np.arange(8) < 2},
    {"positions": cluster(6, 3), "fixed_center": True, "masses": np.arange(1.0, 7.0)},
    {"positions": np.zeros((1, 3))},  # without forces nothing may break
    None,
]
CONSTRAINTS = [None, FixAtoms([0, 1]), FixCom()]


def trajectories(relaxer, n_steps, record):
    return run(relaxer, batch_of(MIXED), n_steps, record)


def test_fire_makes_the_steps_of_ase():
    after, seen = trajectories(FIRE(lennard_jones), 120, lambda b: (b.positions, b.own["dt"]))
    assert np.isfinite(seen[0]).all()
    for slot, (structure, constraint) in enumerate(zip(MIXED, CONSTRAINTS, strict=False)):
        n = len(structure["positions"])
        expected, _ = ase_trajectory(AseFIRE, structure, lennard_jones, 120, constraint=constraint)
        np.testing.assert_allclose(seen[0][:, slot, :n], expected, rtol=0, atol=1e-12)
    # The comparison is worth something only if the time step has grown, has shrunk, and steps were cut.
    assert (np.diff(seen[1][:, :3], axis=0) > 0).any(axis=0).all()
    assert (np.diff(seen[1][:, :3], axis=0) < 0).any(axis=0).all()
    lengths = np.sqrt((np.diff(seen[0], axis=0) ** 2).sum((2, 3)))
    assert (np.abs(lengths[:, :3] - 0.2) < 1e-12).any(axis=0).all()
    assert np.all(np.asarray(after.velocities) == 0)


def test_fire_takes_the_settings_of_ase():
    ours = FIRE(
        lennard_jones, dt=0.15, dt_max=0.4, max_step=0.1, n_min=2, f_inc=1.2, f_dec=0.4, alpha_start=0.2, f_alpha=0.9
    )
    theirs = dict(dt=0.15, dtmax=0.4, maxstep=0.1, Nmin=2, finc=1.2, fdec=0.4, astart=0.2, a=0.2, fa=0.9)
    _, seen = trajectories(ours, 60, lambda b: b.positions)
    expected, _ = ase_trajectory(AseFIRE, MIXED[0], lennard_jones, 60, **theirs)
    np.testing.assert_allclose(seen[:, 0, :5], expected, rtol=0, atol=1e-12)


def test_fire2_visits_the_points_of_ase():
    _, (positions, resting) = trajectories(
        FIRE2(lennard_jones, n_min=5), 120, lambda b: (b.positions, b.own["resting"])
    )
    assert np.isfinite(positions).all()
    for slot, (structure, constraint) in enumerate(zip(MIXED, CONSTRAINTS, strict=False)):
        # Going back is a step of its own here, and half of a step in ASE.
        visited = positions[~resting[:, slot], slot, : len(structure["positions"])]
        assert 2 < resting[:, slot].sum() < 60
        expected, _ = ase_trajectory(AseFIRE2, structure, lennard_jones, len(visited), constraint=constraint, Nmin=5)
        np.testing.assert_allclose(visited, expected, rtol=0, atol=1e-12)


def test_all_relaxers_arrive():
    lj = lennard_jones
    for relaxer, n_steps in ((FIRE(lj), 400), (FIRE2(lj), 600), (GradientDescent(lj, step_size=0.02), 600)):
        shaken = 1.1 * TETRAHEDRON + 0.1 * np.random.default_rng(0).normal(size=(4, 3))
        batch = batch_of([{"positions": shaken}, {"positions": shaken[:3]}])
        after, _ = run(relaxer, batch, n_steps)
        # Four atoms at equal distances, and three: six pairs and three.
        np.testing.assert_allclose(after.energy, [-3.0, -1.5], rtol=0, atol=1e-9, err_msg=repr(relaxer))


def test_gradient_descent_goes_along_the_forces_no_further_than_the_longest_step():
    structures = [{"positions": [[0.0, 0, 0], [x, 0, 0]]} for x in (1.8, 2.5)]
    _, moved = run(
        GradientDescent(lennard_jones, step_size=(0.01, 0.02), max_step=0.1), batch_of(structures), 1,
        lambda b: b.positions,
    )  # fmt: skip
    distance = moved[0, :, 1, 0] - moved[0, :, 0, 0]
    s6 = (2.0 / 2.5) ** 6
    pull = 4 * 0.5 * (12 * s6**2 - 6 * s6) / 2.5  # the force between the two far ones
    np.testing.assert_allclose(distance, [1.8 + 2 * 0.1 / np.sqrt(2), 2.5 + 2 * 0.02 * pull], rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: FIRE(free, dt=-0.1), "FIRE.dt"),
        (lambda: FIRE2(free, max_step=(0.1, -0.1)), "FIRE2.max_step"),
        (lambda: GradientDescent(free, step_size=float("nan")), "GradientDescent.step_size"),
        (lambda: FrechetCell(pressure="high"), "FrechetCell.pressure"),
        (lambda: FrechetCell(hydrostatic=True, constant_volume=True), "hydrostatic and constant_volume"),
        (lambda: FrechetCell(mask=(False,) * 6), "FrechetCell.mask"),
    ],
)
def test_settings_that_make_no_sense_are_named(unchecked, make, names):
    with pytest.raises(InputError, match=names):
        make()


def test_a_relaxation_of_the_cell_needs_stress():
    class WithoutStress(OfEnergy):
        gives = frozenset({"energy", "forces"})

    FIRE(WithoutStress(free.energy))
    with pytest.raises(RuntimeError, match="FIRE needs stress from its potential"):
        FIRE(WithoutStress(free.energy), cell=FrechetCell())
