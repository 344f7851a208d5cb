"""Training: it finds the ground state, averages what it found, and takes no step that is not finite."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import Exponential, Perceptron, Rows, coulomb, hydrogen, lengths, quick_jit, systems, train_stage

from adiabat.electrons import CoulombPotential, Molecule
from adiabat.electrons.wavefunctions import FermiNet
from adiabat.engine import AbstractCallback, Checkpoints, Driver, State
from adiabat.engine.state import Clock
from adiabat.errors import NumericalError
from adiabat.vmc import MCMCSampler, SamplingState, update_length
from adiabat.vmc.optimizers import AdamOptimizer, AutoDamping, KFACOptimizer, SROptimizer

SAMPLER = MCMCSampler(walkers=200, steps=5)


@dataclass(frozen=True)
class Constant:
    """An optimizer whose every update is the same number."""

    by: float = 1.0

    def init(self, params, **kwargs):
        return ()

    def update(self, grads, state, params, **kwargs):
        return jax.tree.map(lambda p: jnp.full_like(p, self.by), params), state


def first_step(stage, systems, clock):
    """What a step makes of systems that have just entered, before it is accepted."""
    begun, own = stage.init(State(systems, (), clock), jax.random.split(jax.random.key(0), 1))
    state = State(begun, own, clock, rejected=jnp.zeros(1, bool))
    return stage.compute(stage.pre_update(state))


def taken(stage, systems):
    """`first_step` compiled and made."""
    with jax.enable_x64(True):
        return quick_jit(lambda *given: first_step(stage, *given))(systems, Clock.start(0, 1, 0))


@pytest.mark.parametrize(
    "optimizer", [SROptimizer(learning_rate=0.2), AdamOptimizer(learning_rate=0.05)], ids=["SR", "Adam"]
)
def test_training_finds_the_exact_ground_state_of_hydrogen(optimizer):
    """There the local energy is the same everywhere, so that nothing is left to chance."""
    psi, rows = Exponential(0.6), Rows()
    stage = train_stage(psi, optimizer, SAMPLER, iterations=80, burn_in=5)
    driver = Driver(stage, systems=systems(psi, SAMPLER), callbacks=[rows])
    driver.run()
    first, last = rows["energy"][0], rows["energy"][-1]
    error = np.sqrt(rows["energy_variance"][0] / 200)
    assert first == pytest.approx(0.6**2 / 2 - 0.6, abs=5 * error)
    assert last == pytest.approx(-0.5, abs=1e-3)
    assert float(driver.state.systems.params["a"][0]) == pytest.approx(1, abs=0.01)
    assert rows["energy_variance"][-1] < 1e-3 * rows["energy_variance"][0]


@pytest.mark.slow
def test_a_system_does_not_know_its_neighbours():
    """Two systems at once: the first one goes as it does alone."""
    psi, alone, together = Exponential(0.7), Rows(), Rows()
    stage = train_stage(psi, Constant(0.01), SAMPLER, iterations=3)
    one = systems(psi, SAMPLER)
    two = jax.tree.map(lambda leaf: np.concatenate([leaf, 1.1 * leaf]).astype(leaf.dtype), one)
    for begun, rows in ((one, alone), (two, together)):
        Driver(stage, systems=begun, callbacks=[rows]).run()
    assert together["energy"][::2] == pytest.approx(alone["energy"], rel=1e-5)
    assert together["energy"][1::2] != pytest.approx(alone["energy"], rel=1e-2)


def test_updates_shrink_at_the_end_and_the_average_over_the_second_half_goes_on():
    """With updates of one before they shrink, all of it is known beforehand."""
    psi, found = Exponential(0.0), []
    stage = train_stage(psi, Constant(), SAMPLER, iterations=10, averaging=0.25, cooldown=0.4)
    driver = Driver(stage, systems=systems(psi, SAMPLER))
    for _, state in driver.loop():
        found.append(float(state.systems.params["a"][0]))
    steps = np.cumsum([1] * 7 + [0.75, 0.5, 0.25])
    assert found[:-1] == pytest.approx(steps[:-1])
    average = steps[4]
    for parameter in steps[5:]:
        average += 0.25 * (parameter - average)
    assert found[-1] == pytest.approx(average)


def test_without_averaging_and_cooldown_the_last_parameters_go_on():
    stage = train_stage(Exponential(), Constant(), SAMPLER, iterations=10, averaging=0.0, cooldown=0.0)
    params, own = {"a": jnp.ones(1)}, {"opt_state": (), "average": {"a": jnp.zeros(1)}}
    system = SamplingState(params, {}, {})
    for age in (0, 4, 5, 9):
        clock = Clock.start(0, 1, 0).replace(stage_age=jnp.full(1, age, jnp.int32))
        state = State(system, own, clock, scratch={"params": {"a": jnp.full(1, 3.0)}, "opt_state": ()})
        done = quick_jit(stage.post_update)(state)
        assert stage.finish(done.systems, done.own).params["a"].tolist() == [3.0]


def test_the_reported_energy_is_not_clipped_but_the_gradient_is():
    def outlier(x):
        return coulomb(x) + jnp.where(lengths(x)[0] > 4.0, 1e4, 0.0)

    psi, moments = Exponential(0.9), []
    for clip in (None, 5.0):
        estimators = hydrogen(psi, outlier)
        stage = train_stage(psi, AdamOptimizer(), SAMPLER, estimators=estimators, clip=clip, burn_in=5)
        state = taken(stage, systems(psi, SAMPLER))
        r = np.linalg.norm(np.asarray(state.systems.batched_data["electrons"], np.float64)[0, :, 0], axis=-1)
        energies = -(0.9**2) / 2 + (0.9 - 1) / r + 1e4 * (r > 4)
        assert float(state.metrics["energy"][0]) == pytest.approx(np.mean(energies), rel=1e-5)
        moments.append(abs(float(state.scratch["opt_state"].inner[0].mu["a"][0])))
    assert np.mean(energies) > 10
    assert moments[1] < moments[0] / 3


def test_a_step_with_energies_that_are_not_finite_is_rejected_and_they_are_counted():
    """Also where the parameters would stay finite."""

    def broken(x):
        return jnp.where(lengths(x)[0] > 2.0, jnp.where(x[0, 2] > 0, jnp.nan, jnp.inf), coulomb(x))

    psi = Exponential()
    stage = train_stage(psi, Constant(), SAMPLER, estimators=hydrogen(psi, broken), iterations=5)
    state = taken(stage, systems(psi, SAMPLER))
    beyond = np.sum(np.linalg.norm(state.systems.batched_data["electrons"][0, :, 0], axis=-1) > 2)
    assert state.rejected.tolist() == [True]
    assert 0 < beyond < 200
    assert float(state.metrics["nonfinite"][0]) == beyond
    assert np.asarray(state.metrics["nonfinite_parameters"]).tolist() == [0]
    assert not np.isfinite(state.metrics["energy"][0])


def test_parameters_that_are_not_finite_are_never_taken():
    psi = Exponential(0.75)
    stage = train_stage(psi, Constant(np.inf), SAMPLER, iterations=5)
    driver = Driver(stage, systems=systems(psi, SAMPLER), max_attempts=2)
    with pytest.raises(NumericalError, match=r"nonfinite_parameters = 1\b"):
        driver.run()
    assert driver.step_count == 0
    assert driver.state.systems.params["a"].tolist() == [0.75]


def test_an_update_that_moves_the_state_too_far_is_tried_again_and_counted():
    """The change of -a r by da is -da r: its spread over the walkers is how far the state moves."""
    psi, rows = Exponential(1.0), Rows()
    stage = train_stage(psi, Constant(-0.5), SAMPLER, iterations=1, burn_in=50, cooldown=0.0, max_update_length=None)
    Driver(stage, systems=systems(psi, SAMPLER), callbacks=[rows]).run()
    # 32 of 200 walkers, hydrogen: the standard deviation of r is sqrt(3) / 2, and of that an eighth.
    assert rows["update_length"][0] == pytest.approx(0.5 * np.sqrt(3) / 2, rel=0.5)
    assert rows["exploding_updates"][0] == 0
    strict = train_stage(psi, Constant(-0.5), SAMPLER, iterations=1, burn_in=50, max_update_length=0.1)
    with pytest.raises(NumericalError, match=r"exploding_updates = 1\b"):
        Driver(strict, systems=systems(psi, SAMPLER)).run()


@pytest.mark.parametrize(
    "optimizer",
    [
        KFACOptimizer(inverse_update_period=4, damping=AutoDamping()),
        SROptimizer(march_beta=0.9, damping=AutoDamping()),
        SROptimizer(march_beta=0.9, march_mode="diff", method="cg"),
    ],
    ids=["K-FAC", "MARCH", "MARCH by changes"],
)
def test_a_run_that_is_cut_goes_on_to_the_bit(optimizer, tmp_path):
    """Statistics, kept inverses, metric, damping and its slopes are all in the checkpoint."""
    psi = Perceptron(dtype="float32")

    def made(folder):
        stage = train_stage(psi, optimizer, MCMCSampler(walkers=32, steps=2), iterations=7)
        checkpoints = Checkpoints(tmp_path / folder, step_interval=1, time_interval=0.0)
        start = systems(psi, MCMCSampler(walkers=32, steps=2), 2)
        return Driver(stage, systems=start, checkpoints=checkpoints)

    whole, cut = made("whole"), made("cut")
    whole.run()
    cut.run(3)
    resumed = made("cut")
    resumed.restore()
    assert resumed.step_count == 3
    resumed.run()
    ends = [(d.state.systems, d.own("train")) for d in (whole, resumed)]
    jax.tree.map(np.testing.assert_array_equal, *ends)


def test_injected_walkers_are_those_whose_energy_is_taken():
    psi, rows = Exponential(0.5), Rows()
    places = np.tile(np.float32([0, 0, 2]), (200, 1, 1))

    class Inject(AbstractCallback):
        def on_compute_update_start(self, step, log_data, driver):
            driver.inject_samples(places)

    stage = train_stage(psi, Constant(), SAMPLER, iterations=1)
    Driver(stage, systems=systems(psi, SAMPLER), callbacks=[Inject(), rows]).run()
    assert rows["energy"] == pytest.approx([-0.125 - 0.25])
    assert rows["energy_variance"] == pytest.approx([0.0], abs=1e-12)


def float64_shapes(jaxpr: Any) -> set[tuple[int, ...]]:
    """Shapes of all arrays of double precision that a program computes, however deep within.

    folx adds a scalar zero of double precision to every Laplacian and casts back, which XLA leaves out: conversions
    and sums with a scalar do not count, what is computed from their results does.
    """
    found = set()
    for eqn in jaxpr.eqns:
        harmless = eqn.primitive.name == "convert_element_type" or (
            eqn.primitive.name == "add" and any(atom.aval.shape == () for atom in eqn.invars)
        )
        if not harmless:
            avals = [var.aval for var in eqn.outvars]
            found |= {aval.shape for aval in avals if getattr(aval, "dtype", None) in (np.float64, np.complex128)}
        for inner in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(inner, "eqns"):
                found |= float64_shapes(getattr(inner, "jaxpr", inner))
    return found


@pytest.mark.parametrize("optimizer", [SROptimizer(), AdamOptimizer()], ids=["SR", "Adam"])
def test_double_precision_is_where_it_decides_and_nowhere_else(optimizer):
    """Energies, the Gram matrix and its solution have as many rows as there are walkers, and no other length."""
    helium = Molecule(("He",), np.zeros((1, 3)))
    network = FermiNet(molecule=helium, start="hartree-fock", one_electron_width=7, pair_width=3)
    sampler = MCMCSampler(walkers=44, steps=2)
    estimators = hydrogen(network, CoulombPotential(helium))
    stage = train_stage(network, optimizer, sampler, estimators=estimators, clip=5.0, chunk=11)

    def step(systems, clock):
        return stage.post_update(first_step(stage, systems, clock))

    with jax.enable_x64(True):
        program = jax.make_jaxpr(step)(systems(network, sampler, 2), Clock.start(0, 1, 0))
    shapes = float64_shapes(program.jaxpr)
    assert () in shapes
    assert (44,) in shapes
    assert ((44, 44) in shapes) == isinstance(optimizer, SROptimizer)
    # Tiles of the Gram matrix have 6 rows, 8 of them fill a side with 48, and 36 are on or above the diagonal. Ten are
    # the lengths in the power iteration; 11 walkers are evaluated at a time.
    rows = {1, 44, 11, 10, 6, 8, 48, 36, update_length.WALKERS}
    assert {shape for shape in shapes if not set(shape) <= rows} == set()
