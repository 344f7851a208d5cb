"""Evaluation: the right energy within its error bar, nothing changed but the walkers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import Exponential, Rows, coulomb, evaluation_stage, hydrogen, lengths, systems

from adiabat.engine import Driver
from adiabat.errors import NumericalError
from adiabat.vmc import MCMCSampler, Total
from adiabat.vmc.stages import estimates

A = 0.8
ENERGY, VARIANCE = A**2 / 2 - A, (A * (A - 1)) ** 2
SAMPLER = MCMCSampler(walkers=100, steps=3, width=0.2)
PSI = Exponential(A)


@pytest.fixture(scope="module")
def finished():
    """Driver and metrics of 300 steps."""
    stage = evaluation_stage(PSI, SAMPLER, iterations=300, burn_in=20)
    rows = Rows()
    driver = Driver(stage, systems=systems(PSI, SAMPLER), callbacks=[rows], seed=5)
    driver.run()
    return driver, rows


def test_the_energy_is_within_its_error_bar(finished):
    driver, rows = finished
    found = estimates(driver.own("evaluate"))
    total = found["total"]
    assert list(found) == ["kinetic", "potential", "total"]
    assert total.mean == pytest.approx(ENERGY, abs=3 * total.error)
    assert total.error < 0.1 * np.sqrt(VARIANCE)
    assert total.variance == pytest.approx(VARIANCE, rel=0.3)
    assert (total.n_steps, total.n_chains, total.nonfinite) == (300, 100, 0)
    # The virial theorem does not hold at a != 1, but the parts are known: T = a^2 / 2, V = -a.
    assert found["kinetic"].mean == pytest.approx(A**2 / 2, abs=3 * found["kinetic"].error)
    assert found["potential"].mean == pytest.approx(-A, abs=3 * found["potential"].error)
    assert total.mean == pytest.approx(np.mean(rows["energy"][total.equilibration_steps :]), abs=1e-9)


def test_parameters_stay_and_widths_are_those_after_the_burn_in(finished):
    driver, rows = finished
    assert driver.state.systems.params["a"].tolist() == [np.float32(A)]
    width = float(driver.state.systems.sampler_state["electrons"].width[0])
    assert width > 0.4
    driver = Driver(evaluation_stage(PSI, SAMPLER, iterations=5, burn_in=20), systems=systems(PSI, SAMPLER), seed=5)
    driver.run(1)
    assert float(driver.state.systems.sampler_state["electrons"].width[0]) == width
    assert np.mean(rows["acceptance"]) == pytest.approx(0.5, abs=0.1)


def test_log_psi_is_carried_from_step_to_step(finished):
    driver, _ = finished
    x = np.asarray(driver.state.systems.batched_data["electrons"][0])
    carried = np.asarray(driver.own("evaluate")["log_abs"][0])
    np.testing.assert_allclose(carried, -np.float32(A) * np.linalg.norm(x[:, 0], axis=-1), rtol=1e-6)


def test_it_ends_when_the_error_bar_is_small_enough():
    stage = evaluation_stage(PSI, SAMPLER, iterations=5000, burn_in=20, error=0.002, check_interval=10)
    driver = Driver(stage, systems=systems(PSI, SAMPLER))
    driver.run()
    total = estimates(driver.own("evaluate"))["total"]
    assert total.error <= 0.002
    assert driver.step_count % 10 == 0
    assert driver.step_count < 1000
    assert total.mean == pytest.approx(ENERGY, abs=3 * total.error)


def test_an_error_bar_that_is_itself_uncertain_does_not_end_it():
    """An exact wavefunction has no variance: even so, a few steps are not enough to say so."""
    exact, sampler = Exponential(1.0), MCMCSampler(walkers=2, steps=1)
    stage = evaluation_stage(exact, sampler, iterations=64, error=0.1, check_interval=4)
    driver = Driver(stage, systems=systems(exact, sampler))
    driver.run()
    assert driver.step_count >= 8


def test_a_sample_that_is_not_finite_ends_the_run_and_enters_no_mean():
    def broken(x):
        return jnp.where(lengths(x)[0] > 1.0, jnp.nan, coulomb(x))

    stage = evaluation_stage(PSI, SAMPLER, estimators=hydrogen(PSI, broken), iterations=5)
    driver = Driver(stage, systems=systems(PSI, SAMPLER), max_attempts=2)
    with pytest.raises(NumericalError, match="nonfinite"):
        driver.run()
    assert int(driver.own("evaluate")["tables"]["total"].filled[0]) == 0


def test_a_complex_energy_is_recorded_by_its_real_part():
    class Imaginary:
        def evaluate(self, params, walker, previous):
            return previous["real"] + 3j

    estimators = {"real": Total(()), "total": Imaginary()}

    class Zero:
        def evaluate(self, params, walker, previous):
            return jnp.sum(walker["electrons"]) * 0 - 2.0

    estimators["real"] = Zero()
    rows = Rows()
    stage = evaluation_stage(PSI, SAMPLER, estimators=estimators, iterations=4)
    driver = Driver(stage, systems=systems(PSI, SAMPLER), callbacks=[rows])
    driver.run()
    assert estimates(driver.own("evaluate"))["total"].mean == -2.0
    assert rows["energy"].tolist() == [-2.0] * 4
    assert rows["energy_imaginary"].tolist() == [3.0] * 4
    assert rows["energy_variance"].tolist() == [0.0] * 4
    assert jax.tree.leaves(driver.state.systems.params)[0].dtype == np.float32
