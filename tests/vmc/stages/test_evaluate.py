"""Evaluation: the right energy within its error bar, nothing changed but the walkers."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import Exponential, Rows, coulomb, evaluation_stage, hydrogen, lengths, quick_jit, systems

from adiabat.engine import Driver, State
from adiabat.engine.state import Clock
from adiabat.vmc import MCMCSampler
from adiabat.vmc.stages import ErrorBelow, estimates

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
    # The local energy goes as 1/r near the nucleus, whose fourth moment is infinite: an estimate of the variance has no
    # error bar. It is that of the samples, and of the right size.
    assert total.variance == pytest.approx(np.mean(rows["energy_variance"][total.equilibration_steps :]), rel=0.02)
    assert 0.5 * VARIANCE < total.variance < 2 * VARIANCE
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


@pytest.mark.parametrize(("age", "width"), [(0, 0.0), (1, 0.7)])
def test_moves_adapt_in_the_burn_in_and_in_no_step(age, width):
    """Within a step neither, which would spoil detailed balance without leaving a trace."""

    class ToZero(MCMCSampler):
        def adapt(self, state, acceptance):
            return state._replace(width=0 * state.width)

    sampler = ToZero(walkers=10, width=0.7)
    stage = evaluation_stage(PSI, sampler, burn_in=5)
    clock = Clock.start(0, 1, 0).replace(stage_age=np.full(1, age, np.int32))
    state = State(systems(PSI, sampler), {"log_abs": np.zeros((1, 10), np.float32)}, clock)
    moved = quick_jit(stage.pre_update)(state)
    assert moved.systems.sampler_state["electrons"].width == pytest.approx(width)
    stays = np.all(moved.systems.batched_data["electrons"] == state.systems.batched_data["electrons"], axis=(2, 3))
    assert np.any(~stays)
    # Where moves have no width all are accepted; a step that adapted would show it.
    assert (moved.metrics["acceptance"] == 1) == (width == 0)


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


def test_an_error_bar_that_is_itself_uncertain_does_not_end_it(finished):
    """Few steps of two chains are not enough, whatever they say."""
    driver, _ = finished
    few = Driver(driver.stage, systems=systems(PSI, SAMPLER))
    few.run(6)
    own = few.own("evaluate")
    two_chains = {name: replace(table, sums=table.sums[..., :2]) for name, table in own["tables"].items()}
    own = {**own, "tables": two_chains}
    generous = ErrorBelow(threshold=estimates(own)["total"].error, frequency=1)
    assert generous.evaluate(few.state.replace(own=own)).tolist() == [False]
    assert generous.evaluate(driver.state.replace(own=driver.own("evaluate"))).tolist() == [True]


@dataclass(frozen=True)
class Number:
    """An estimator that is the same everywhere."""

    value: complex

    def evaluate(self, params, walker, previous):
        return jnp.sum(walker["electrons"]) * 0 + self.value


def computed(estimators):
    """What `compute` makes of walkers just entered."""
    stage = evaluation_stage(PSI, SAMPLER, estimators=estimators)

    def step(systems, clock):
        begun, own = stage.init(State(systems, (), clock), jax.random.split(jax.random.key(0), 1))
        return stage.compute(State(begun, own, clock, rejected=jnp.zeros(1, bool)))

    with jax.enable_x64(True):
        return quick_jit(step)(systems(PSI, SAMPLER), Clock.start(0, 1, 0))


def test_a_step_with_samples_that_are_not_finite_is_rejected_and_they_are_counted():
    def broken(x):
        return jnp.where(lengths(x)[0] > 1.0, jnp.nan, coulomb(x))

    state = computed(hydrogen(PSI, broken))
    beyond = np.sum(np.linalg.norm(state.systems.batched_data["electrons"][0, :, 0], axis=-1) > 1)
    assert state.rejected.tolist() == [True]
    assert float(state.metrics["nonfinite"][0]) == beyond > 0


def test_a_complex_energy_is_recorded_by_its_real_part():
    state = computed({"total": Number(-2.0 + 3.0j)})
    assert np.unique(state.own["tables"]["total"].sums[0, 0]).tolist() == [-2.0]
    assert {name: float(value[0]) for name, value in state.metrics.items()} == {
        "energy": -2.0,
        "energy_imaginary": 3.0,
        "energy_variance": 0.0,
        "nonfinite": 0.0,
    }
