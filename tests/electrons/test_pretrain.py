"""Pretraining: the network becomes Hartree-Fock, on walkers that follow its density."""

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
from adiabat.engine import AbstractCallback, Driver
from adiabat.errors import NumericalError
from adiabat.vmc import EvaluationWorkStage, KineticEnergy, MCMCSampler, Potential, SamplingState, Total
from adiabat.vmc.stages import estimates

HELIUM = Molecule(("He",), np.zeros((1, 3)))
NETWORK = FermiNet(molecule=HELIUM, layers=1, one_electron_width=16, determinants=2, start="random", jastrow=False)
SAMPLER = MCMCSampler(walkers=512, steps=4, local_scale=NuclearScale(HELIUM))
STEPS = 1500


@pytest.fixture(scope="module")
def hf():
    return hartree_fock(HELIUM)


def pretraining(hf, **settings):
    config = PretrainConfig(**{"learning_rate": 3e-3, **settings})
    return Pretrain(
        name="pretrain", n_steps=STEPS, wavefunction=NETWORK, target=hf.occupied, sampler=SAMPLER, config=config
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


def test_every_determinant_has_the_same_target(run, hf):
    state = run[1]

    def both(params, x):
        up, down = molecular_orbitals(hf.occupied, x)
        return NETWORK.orbitals(params, x), jax.scipy.linalg.block_diag(up, down)

    orbitals, target = jax.jit(jax.vmap(both, in_axes=(None, 0)))(state.params, state.batched_data["electrons"])
    difference = np.mean((orbitals - target[:, None]) ** 2, axis=(0, 2, 3))
    assert np.all(difference < 1e-3 * np.mean(target**2))


def test_walkers_follow_the_hartree_fock_density(run, hf):
    """Every electron of every walker is a sample of its own of the 1s orbital."""
    r = np.linspace(0, 12, 4001)
    atomic = np.asarray(evaluate(hf.basis, jnp.asarray(np.stack([0 * r, 0 * r, r], axis=-1), jnp.float32)))
    density = (r * (atomic @ hf.coefficients_up[:, 0])) ** 2
    cumulative = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    lengths = np.linalg.norm(run[1].batched_data["electrons"], axis=-1).ravel()
    found = stats.kstest(lengths, lambda x: np.interp(x, r, cumulative / cumulative[-1]))
    assert found.pvalue > 1e-3, found


def test_parameters_that_are_not_finite_are_never_taken(hf):
    driver = Driver(pretraining(hf, learning_rate=float("inf")), systems=begin(), max_attempts=2)
    with pytest.raises(NumericalError):
        driver.run()
    assert driver.step_count == 0
    assert jax.tree.all(jax.tree.map(lambda leaf: bool(np.isfinite(leaf).all()), driver.state.systems.params))


def test_a_network_that_starts_as_hartree_fock_needs_no_steps():
    fitted = FermiNet(molecule=HELIUM, start="hartree-fock")
    assert (PretrainConfig().steps(fitted), PretrainConfig().steps(NETWORK)) == (0, 1000)
    assert PretrainConfig(iterations=7).steps(fitted) == 7
