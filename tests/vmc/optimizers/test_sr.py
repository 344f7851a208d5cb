"""Stochastic reconfiguration: the direction is that of dense linear algebra, the step that of its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import Perceptron, jacobian, quick_jit, ravel, walkers

from adiabat.vmc.gradient import LossAndGrad
from adiabat.vmc.optimizers import SROptimizer, Standard
from adiabat.vmc.optimizers import scores as scores_module
from adiabat.vmc.optimizers.sr import SRState

pytestmark = pytest.mark.usefixtures("x64")

WALKERS, DAMPING = 15, 1e-3


class Problem:
    """A network at some walkers, energies, and a direction from the step before."""

    def __init__(self, *, is_complex=False, dtype="float64"):
        self.network = Perceptron(is_complex, dtype=dtype)
        self.params = self.network.init(0)
        self.data = walkers(WALKERS, dtype=dtype)
        rng = np.random.default_rng(1)
        energies = rng.standard_normal(WALKERS) + (1j * rng.standard_normal(WALKERS) if is_complex else 0)
        wanted = np.result_type(dtype, np.complex64) if is_complex else np.dtype(dtype)
        self.loss = LossAndGrad(clip=None, f_log_psi=self.network.log_psi)
        self.residuals = np.asarray(self.loss.residuals(jnp.asarray(energies.astype(wanted))))
        self.previous = rng.standard_normal(ravel(self.params).size).astype(dtype)

    def update(self, optimizer, *, step=0):
        """Updates and new state of one step."""
        state = optimizer.init(self.params)._replace(step=jnp.int32(step), direction=self.previous)

        def run(params, state, data, residuals):
            return optimizer.update(None, state, params, batched_data=data, residuals=residuals)

        return quick_jit(run)(self.params, state, self.data, self.residuals)

    def scores(self):
        """``O``: centred, divided by the root of the number of walkers, real parts above imaginary ones, in float64."""
        wide = jax.tree.map(lambda p: np.asarray(p, np.float64), (self.params, self.data))
        table = jacobian(self.network.log_psi, *wide)
        table = (table - table.mean(axis=0)) / np.sqrt(WALKERS)
        return np.concatenate([table.real, table.imag]) if np.iscomplexobj(table) else table

    def dense_direction(self, momentum):
        """Minimum of ``|O d - e|^2 + damping |d - momentum * previous|^2``, among the parameters."""
        scores, previous = self.scores(), self.previous.astype(np.float64)
        target = np.concatenate([self.residuals.real, self.residuals.imag][: len(scores) // WALKERS])
        curvature = scores.T @ scores + DAMPING * np.eye(scores.shape[1])
        return np.linalg.solve(curvature, scores.T @ target + DAMPING * momentum * previous)


def optimizer(network, **settings):
    given = dict(learning_rate=0.1, damping=DAMPING, max_length=None, max_cond_num=None, spring_mu=0.9, max_score=None)
    return SROptimizer(**{**given, **settings}, f_log_psi=network.log_psi)


@pytest.fixture(scope="module")
def problem():
    with jax.enable_x64(True):
        return Problem()


LAYERS, EXPLICIT = -1e9, 1e9  # what makes every layer be kept, or none


@pytest.mark.parametrize(
    ("is_complex", "dtype", "chunk", "cost"),
    [
        (False, "float64", 4, LAYERS),
        (False, "float64", 1000, EXPLICIT),
        (False, "float32", None, LAYERS),
        (True, "float64", 4, LAYERS),
        (True, "float64", None, EXPLICIT),
        (True, "float32", 4, LAYERS),
    ],
)
def test_the_direction_is_that_of_dense_linear_algebra(is_complex, dtype, chunk, cost, monkeypatch):
    monkeypatch.setattr(scores_module, "ELEMENTWISE_COST", cost)
    problem = Problem(is_complex=is_complex, dtype=dtype)
    updates, state = problem.update(optimizer(problem.network, score_chunk_size=chunk))
    found, expected = np.asarray(state.direction), problem.dense_direction(0.9)
    tolerance = 1e-6 if dtype == "float64" else 1e-3
    assert np.linalg.norm(found - expected) < tolerance * np.linalg.norm(expected)
    np.testing.assert_allclose(ravel(updates), -np.float32(0.1) * found, rtol=1e-6)
    assert found.dtype == ravel(updates).dtype == dtype
    assert float(state.diagnostics["damping"]) == pytest.approx(DAMPING)
    assert float(state.diagnostics["solver_fallback"]) == 0
    length = 0.1 * np.linalg.norm(problem.scores() @ expected)
    assert float(state.diagnostics["update_length"]) == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("is_complex", [False, True])
def test_walkers_with_long_scores_weigh_less(is_complex):
    """The direction is that of least squares with these weights; one walker far out cannot raise the damping."""
    problem = Problem(is_complex=is_complex)
    scores, parts = problem.scores(), 1 + is_complex
    lengths = np.linalg.norm(scores.reshape(parts, WALKERS, -1), axis=(0, 2))
    weights = np.tile(np.minimum(1, 1.1 * np.median(lengths) / lengths), parts)
    assert 3 <= np.sum(weights < 1) <= parts * WALKERS - 3
    target = np.concatenate([problem.residuals.real, problem.residuals.imag][:parts])
    weighted = weights[:, None] * scores
    curvature = weighted.T @ weighted + DAMPING * np.eye(scores.shape[1])
    expected = np.linalg.solve(curvature, weighted.T @ (weights * target) + DAMPING * 0.9 * problem.previous)

    _, state = problem.update(optimizer(problem.network, max_score=1.1))
    found = np.asarray(state.direction)
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)
    _, state = problem.update(optimizer(problem.network, max_score=1e6))
    np.testing.assert_allclose(np.asarray(state.direction), problem.dense_direction(0.9), rtol=1e-5, atol=1e-8)


def test_without_momentum_and_with_much_damping_it_is_the_gradient(problem):
    _, state = problem.update(optimizer(problem.network, spring_mu=None, damping=1e6))
    gradient = quick_jit(problem.loss.gradient)(problem.params, problem.data, problem.residuals)
    np.testing.assert_allclose(1e6 * np.asarray(state.direction), ravel(gradient), rtol=0, atol=1e-4)


def test_a_constant_energy_changes_nothing(problem):
    """The centred scores do not see it: the null vector of the Gram matrix is no direction."""
    shifted = Problem()
    shifted.residuals = shifted.residuals + 7.0
    once, again = (np.asarray(p.update(optimizer(p.network))[1].direction) for p in (problem, shifted))
    np.testing.assert_allclose(once, again, rtol=0, atol=1e-9 * np.abs(once).max())


@pytest.mark.parametrize(
    ("settings", "norm"),
    [
        (dict(max_norm="fixed"), lambda direction, length: 0.1),
        (dict(max_norm=0.02), lambda direction, length: 0.02),
        (dict(max_length=0.001), lambda direction, length: 0.001 * direction / length),
        (dict(learning_rate=Standard(0.2, 5.0), max_norm=1e9), lambda direction, length: 0.1 * direction),
    ],
    ids=["fixed", "capped", "length", "schedule, not capped"],
)
def test_the_step_keeps_to_its_limits(problem, settings, norm):
    updates, state = problem.update(optimizer(problem.network, **settings), step=5)
    direction = np.asarray(state.direction)
    expected = norm(np.linalg.norm(direction), np.linalg.norm(problem.scores() @ direction))
    assert np.linalg.norm(ravel(updates)) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(ravel(updates) / direction, np.mean(ravel(updates) / direction), rtol=1e-6)
    assert state.step == 6


def test_damping_rises_until_the_condition_number_is_below_its_limit(problem):
    _, state = problem.update(optimizer(problem.network, max_cond_num=100.0))
    largest = np.linalg.norm(problem.scores(), 2) ** 2
    # Ten power iterations give the largest eigenvalue from below.
    assert 0.9 * largest / 99 < float(state.diagnostics["damping"]) <= largest / 99 * (1 + 1e-6)
    _, state = problem.update(optimizer(problem.network, max_cond_num=1e12))
    assert float(state.diagnostics["damping"]) == pytest.approx(DAMPING)


def test_a_failed_factorisation_is_counted_and_solved_by_eigenvalues(problem):
    """A negative damping makes the matrix indefinite; the eigenvalues that remain positive are used."""
    _, state = problem.update(optimizer(problem.network, damping=lambda step: -0.5, spring_mu=None))
    assert state.diagnostics["solver_fallback"] == 1
    values, vectors = np.linalg.eigh(problem.scores() @ problem.scores().T)
    kept = values > 0.5
    assert 0 < kept.sum() < WALKERS - 1
    weights = vectors[:, kept] @ ((vectors[:, kept].T @ problem.residuals) / (values[kept] - 0.5))
    np.testing.assert_allclose(np.asarray(state.direction), problem.scores().T @ weights, rtol=1e-6, atol=1e-8)


def test_scores_that_are_not_finite_stay_so_and_are_no_fallback():
    broken = Problem()
    broken.data = {"electrons": np.where(np.arange(WALKERS)[:, None, None] == 3, np.nan, broken.data["electrons"])}
    updates, state = broken.update(optimizer(broken.network))
    assert not np.isfinite(ravel(updates)).any()
    assert state.diagnostics["solver_fallback"] == 0


def test_an_optimizer_without_a_wavefunction_is_refused():
    with pytest.raises(ValueError, match="wired"):
        SROptimizer().update(None, SROptimizer().init({}), {}, batched_data={}, residuals=jnp.ones(3))
    assert isinstance(SROptimizer().init({}), SRState)
