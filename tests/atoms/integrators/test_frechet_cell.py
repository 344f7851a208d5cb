"""Cells relax as with ASE's FrechetCellFilter."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE as AseFIRE
from integrator_toys import ase_trajectory, batch_of, crystal, morse_crystal, quick_jit, run

from adiabat.atoms.integrators import FIRE, FIRE2, FrechetCell
from adiabat.atoms.integrators.matrix_functions import exponential, inverse, logarithm
from adiabat.units import GPA_PER_EV_PER_CUBIC_ANGSTROM

GPa = 1 / GPA_PER_EV_PER_CUBIC_ANGSTROM  # that of ASE is of other constants of nature, 3e-9 less
CRYSTALS = [crystal(3, 1), crystal(2, 2, handed=-1.0)]
FIXED = {**crystal(3, 3), "fixed": np.array([True, False, False])}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (dict(pressure=(0.0, 20.0, -3.0)), dict(scalar_pressure=(0.0, 20.0 * GPa, -3.0 * GPa))),
        (dict(hydrostatic=True, pressure=5.0), dict(hydrostatic_strain=True, scalar_pressure=5.0 * GPa)),
        (dict(constant_volume=True, cell_factor=7.0), dict(constant_volume=True, exp_cell_factor=7.0)),
        (dict(mask=(True, True, False, True, False, True)), dict(mask=[1, 1, 0, 1, 0, 1])),
    ],
    ids="-".join,
)
def test_fire_with_the_filter_makes_the_steps_of_ase(ours, theirs):
    structures = [*CRYSTALS, FIXED]
    relaxer = FIRE(morse_crystal, cell=FrechetCell(**ours))
    _, (positions, cells) = run(relaxer, batch_of(structures, n_slots=4), 40, lambda b: (b.positions, b.cell))
    assert np.isfinite(positions).all()
    if "constant_volume" in ours:
        volumes = np.linalg.det(cells[:, :3])
        np.testing.assert_allclose(volumes, np.broadcast_to(volumes[0], volumes.shape), rtol=1e-12)
    for slot, structure in enumerate(structures):
        options = {name: value[slot] if isinstance(value, tuple) else value for name, value in theirs.items()}
        expected, expected_cells = ase_trajectory(
            AseFIRE, structure, morse_crystal, 40,
            cell_filter=partial(FrechetCellFilter, **options), constraint=FixAtoms([0]) if slot == 2 else None,
        )  # fmt: skip
        n = len(structure["positions"])
        np.testing.assert_allclose(cells[:, slot], expected_cells, rtol=0, atol=1e-11)
        np.testing.assert_allclose(positions[:, slot, :n], expected, rtol=0, atol=1e-11)
        assert np.abs(cells[-1, slot] - structure["cell"]).max() > 0.05


def test_the_force_on_the_cell_is_the_slope_of_the_enthalpy():
    pressure, cell = 8.0, FrechetCell(pressure=8.0)
    batch = batch_of([{**CRYSTALS[0]}])
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(1, 6, 3))

    @quick_jit
    def along(t):
        """Enthalpy at a point beside one that is far from the reference, and the forces there."""
        here = batch.replace(own=cell.start(batch))
        here = cell.displace(here, jnp.asarray(0.4 * rng.normal(size=(1, 6, 3))))
        there = morse_crystal.evaluate(cell.displace(here, t * direction))
        return cell.observables(there)["enthalpy"][0], jnp.sum(cell.forces(there, there.forces) * direction)

    slope = (along(1e-4)[0] - along(-1e-4)[0]) / 2e-4
    np.testing.assert_allclose(along(0.0)[1], -slope, rtol=1e-6)
    volume = abs(np.linalg.det(CRYSTALS[0]["cell"]))
    assert pressure * GPa * volume > 0.1  # so that it counts


def test_a_relaxed_cell_is_without_cell_force_and_under_the_pressure_asked_for():
    relaxer = FIRE2(morse_crystal, cell=FrechetCell(pressure=(0.0, 12.0)))
    after, seen = run(relaxer, batch_of(CRYSTALS), 1500, relaxer.observables)
    assert np.all(seen["cell_force"][0] > 0.01)
    assert np.all(seen["cell_force"][-1] < 1e-6)
    assert np.all(seen["enthalpy"][-1] < seen["enthalpy"][0])
    for slot, pressure in enumerate((0.0, 12.0)):
        np.testing.assert_allclose(after.stress[slot] / GPa, -pressure * np.eye(3), atol=1e-4)


def test_functions_of_matrices_agree_with_scipy():
    rng = np.random.default_rng(0)
    logs = 0.4 * rng.normal(size=(20, 3, 3))
    powers = np.array([scipy.linalg.expm(x) for x in logs])
    along = rng.normal(size=(20, 3, 3))
    _, slopes = quick_jit(lambda x, d: jax.jvp(exponential, (x,), (d,)))(logs, along)
    np.testing.assert_allclose(quick_jit(exponential)(logs), powers, rtol=0, atol=1e-13)
    np.testing.assert_allclose(quick_jit(logarithm)(powers), logs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(quick_jit(inverse)(powers), np.linalg.inv(powers), rtol=1e-12)
    expected = [scipy.linalg.expm_frechet(x, d, compute_expm=False) for x, d in zip(logs, along, strict=True)]
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=1e-12)
