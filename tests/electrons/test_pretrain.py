"""Pretraining: the network becomes Hartree-Fock, on walkers that follow its density."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from adiabat.config import ConfigManager
from adiabat.electrons.gaussian_orbitals import evaluate
from adiabat.electrons.hamiltonian import CoulombPotential, NuclearScale
from adiabat.electrons.hartree_fock import hartree_fock
from adiabat.electrons.molecule import Molecule
from adiabat.electrons.pretrain import Pretrain, PretrainConfig
from adiabat.electrons.slater_determinant import molecular_orbitals
from adiabat.electrons.starting_positions import starting_positions
from adiabat.electrons.wavefunctions import FermiNet
from adiabat.engine import AbstractCallback, Driver, State
from adiabat.engine.state import Clock
from adiabat.vmc import EvaluationWorkStage, KineticEnergy, MCMCSampler, Potential, SamplingState, Total
from adiabat.vmc.optimizers import AdamOptimizer
from adiabat.vmc.stages import estimates

HELIUM = Molecule(("He",), np.zeros((1, 3)))
NETWORK = FermiNet(molecule=HELIUM, layers=1, one_electron_width=16, determinants=1, start="random", jastrow=False)
SAMPLER = MCMCSampler(walkers=400, steps=3, local_scale=NuclearScale(HELIUM))
STEPS = 1500


@pytest.fixture(scope="module")
def hf():
    return hartree_fock(HELIUM)


def pretraining(hf, network=NETWORK, **settings):
    config = PretrainConfig(**{"learning_rate": 3e-3, **settings})
    return Pretrain(
        name="pretrain", n_steps=STEPS, wavefunction=network, target=hf.occupied, sampler=SAMPLER, config=config
    )


def evaluation():
    cfg = ConfigManager({"iterations": 100, "burn_in": 10})
    builder = EvaluationWorkStage.builder(cfg, NETWORK, name="evaluate")
    builder.configure_sample_plan(NETWORK.log_psi, {"electrons": SAMPLER})
    kinetic, potential = KineticEnergy(NETWORK.log_psi), Potential(CoulombPotential(HELIUM))
    return builder.configure_estimators(kinetic=kinetic, potential=potential, total=Total()).build()


def begin():
    walkers = {"electrons": starting_positions(HELIUM, 0, SAMPLER.walkers)}
    state = SamplingState(NETWORK.init(0), walkers, {"electrons": SAMPLER.init()})
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], state)


class Losses(AbstractCallback):
    """Keeps the loss of every step."""

    def __init__(self):
        self.values = []

    def on_rows(self, rows, driver):
        self.values += [row["loss"] for row in rows if "loss" in row]


@pytest.fixture(scope="module")
def run(hf):
    """The driver at the end, the state one step before pretraining ends, and the losses."""
    losses = Losses()
    driver = Driver(pretraining(hf) + evaluation(), systems=begin(), callbacks=[losses], seed=1)
    driver.run(STEPS - 1)
    pretrained = jax.tree.map(lambda leaf: np.asarray(leaf)[0], driver.state.systems)
    driver.run()
    return driver, pretrained, losses.values


def test_the_energy_is_that_of_hartree_fock_within_its_error_bar(run, hf):
    total = estimates(run[0].own("evaluate"))["total"]
    assert total.error < 0.01
    assert total.mean == pytest.approx(hf.energy, abs=3 * total.error)


def test_the_loss_falls_to_a_small_part(run):
    losses = run[2]
    assert len(losses) == STEPS
    assert np.mean(losses[-20:]) < 1e-3 * losses[0]


@pytest.mark.parametrize("rate", [1e-3, float("inf")])
def test_the_loss_is_the_mean_squared_difference_and_a_step_to_infinity_is_rejected(hf, rate):
    """One target for all determinants, zero between orbitals of one spin and electrons of the other."""
    network = replace(NETWORK, determinants=3)
    params, walkers = network.init(0), starting_positions(HELIUM, 0, 5)
    total = 0.0
    for x in walkers:
        (up,), (down,) = (np.asarray(block)[0] for block in molecular_orbitals(hf.occupied, jnp.asarray(x)))
        total += float(np.sum((network.orbitals(params, jnp.asarray(x)) - np.array([[up, 0], [0, down]])) ** 2))
    system = SamplingState(params, {"electrons": walkers}, {})
    with jax.enable_x64(True):
        systems, own = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (system, AdamOptimizer().init(params)))
        state = State(systems, own, Clock.start(0, 1, 0), rejected=np.zeros(1, bool))
        step = jax.jit(pretraining(hf, network, learning_rate=rate).compute)(state)
    assert float(step.metrics["loss"][0]) == pytest.approx(total / (5 * 3 * 2 * 2), rel=1e-5)
    assert step.rejected.tolist() == [not np.isfinite(rate)]


def test_walkers_follow_the_hartree_fock_density(run, hf):
    """Every electron of every walker is a sample of its own of the 1s orbital."""
    r = np.linspace(0, 12, 4001)
    atomic = np.asarray(evaluate(hf.basis, jnp.asarray(np.stack([0 * r, 0 * r, r], axis=-1), jnp.float32)))
    density = (r * (atomic @ hf.coefficients_up[:, 0])) ** 2
    cumulative = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    lengths = np.linalg.norm(run[1].batched_data["electrons"], axis=-1).ravel()
    found = stats.kstest(lengths, lambda x: np.interp(x, r, cumulative / cumulative[-1]))
    assert found.pvalue > 1e-3, found


def test_a_network_that_starts_as_hartree_fock_needs_no_steps():
    fitted = FermiNet(molecule=HELIUM, start="hartree-fock")
    assert (PretrainConfig().steps(fitted), PretrainConfig().steps(NETWORK)) == (0, 1000)
    assert PretrainConfig(iterations=7).steps(fitted) == 7
