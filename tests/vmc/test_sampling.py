"""Metropolis sampling: the right density, however walkers move, and a width that finds itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from vmc_toys import lengths, walkers

from adiabat.vmc.sampling import Chains, MCMCSampler, SamplePlan

ALL, SINGLE = "all-electron", "single-electron"


def hydrogen_log_abs(params, data):
    """Electrons that do not see each other, each in exp(-r)."""
    return -jnp.sum(lengths(data["electrons"]), axis=-1)


def growing_scale(x):
    """Moves that are wider the farther from the nucleus, so that the ratio of their widths matters."""
    return 0.1 + lengths(x)


def compiled(plan, moves, *, adapt):
    """``(chains, seed) -> (chains, statistics)``."""
    return jax.jit(lambda chains, seed: plan.sample(None, chains, jax.random.key(seed), moves=moves, adapt=adapt))


def start(plan, data):
    """Chains whose log|psi| was evaluated and that have not moved."""

    def evaluate(data):
        return plan.sample(None, Chains.of(data, plan.init()), jax.random.key(0), moves=0, evaluated=False)

    chains, made = jax.jit(evaluate)(data)
    assert made == (0, 0)
    for field, given in data.items():
        np.testing.assert_array_equal(chains.walkers[field], given)
    return chains


@pytest.fixture(scope="module", params=[(ALL, None), (ALL, growing_scale), (SINGLE, None), (SINGLE, growing_scale)])
def hydrogen(request):
    """4000 walkers of two electrons after 80 moves, and how often log|psi| was evaluated in the program."""
    moves, scale = request.param
    evaluated = []

    def log_abs(params, data):
        evaluated.append(data)
        return hydrogen_log_abs(params, data)

    sampler = MCMCSampler(walkers=4000, moves=moves, width=0.8, local_scale=scale)
    plan = SamplePlan(log_abs, {"electrons": sampler})
    begun = start(plan, walkers(4000, 2, dtype="float32"))
    evaluated.clear()
    chains, made = compiled(plan, 80, adapt=True)(begun, 0)
    return chains, made, len(evaluated)


def test_hydrogen_has_its_exact_radial_density(hydrogen):
    chains, made, _ = hydrogen
    assert made.nonfinite == 0
    # Every walker is a chain of its own: the samples of one moment are independent.
    for r in np.asarray(lengths(chains.walkers["electrons"])).T:
        found = stats.kstest(r, lambda r: 1 - np.exp(-2 * r) * (1 + 2 * r + 2 * r * r))
        assert found.pvalue > 1e-3, found


def test_log_psi_is_carried_along_and_evaluated_once_a_move(hydrogen):
    chains, _, evaluations = hydrogen
    assert evaluations == 1
    np.testing.assert_allclose(chains.log_abs, hydrogen_log_abs(None, chains.walkers), rtol=1e-6)
    assert chains.walkers["electrons"].dtype == chains.log_abs.dtype == np.float32


@pytest.mark.parametrize(("moves", "target"), [(ALL, 0.5), (SINGLE, 0.35)])
def test_the_width_finds_the_target_acceptance_within_200_moves(moves, target):
    reached = []
    for factor in (0.01, 100.0):
        sampler = MCMCSampler(walkers=250, moves=moves, width=0.7 * factor, target_acceptance=target)
        plan = SamplePlan(hydrogen_log_abs, {"electrons": sampler})
        chains = start(plan, walkers(250, 3, dtype="float32"))
        twenty_moves = compiled(plan, 20, adapt=True)
        for seed in range(10):
            chains, made = twenty_moves(chains, seed)
        reached.append(float(made.acceptance))
    assert reached == pytest.approx([target, target], abs=0.05)


def test_the_hastings_correction_is_the_ratio_of_the_proposal_densities():
    sampler = MCMCSampler(local_scale=growing_scale)
    with jax.enable_x64(True):
        x, width = jnp.asarray(walkers(200)["electrons"]), jnp.asarray(0.7)
        moved, correction = jax.jit(sampler.propose)(jax.random.key(0), x, width)
    here, there = (0.7 * (0.1 + np.linalg.norm(place, axis=-1)) for place in (x, moved))
    squared = np.sum((np.asarray(moved) - np.asarray(x)) ** 2, axis=-1)
    forward = -3 * np.log(here) - squared / (2 * here**2)
    reverse = -3 * np.log(there) - squared / (2 * there**2)
    np.testing.assert_allclose(correction, reverse - forward, rtol=1e-12, atol=1e-12)
    assert correction.dtype == np.float64


def test_noise_differs_from_field_to_field_and_from_move_to_move():
    same = MCMCSampler(walkers=3000, width=1.0)
    plan = SamplePlan(lambda params, data: jnp.zeros(3000), {"a": same, "b": same})
    origin = jnp.zeros((3000, 2, 3))
    chains, made = compiled(plan, 2, adapt=False)(start(plan, {"a": origin, "b": origin}), 0)
    assert made.acceptance == 1
    a, b = (np.asarray(chains.walkers[field]).ravel() for field in "ab")
    error = 1 / np.sqrt(a.size)
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(0, abs=4 * error)
    assert np.var(a) == pytest.approx(2, abs=4 * 2 * np.sqrt(2) * error)  # 4, were both moves the same


@pytest.mark.parametrize("moves", [ALL, SINGLE])
def test_values_that_are_not_finite_are_refused_and_counted_and_nodes_are_only_left(moves):
    """No value where x > 0, infinity where y > 0, a node where z > 0; every second walker starts on the node."""

    def log_abs(params, data):
        x, y, z = data["electrons"][:, 0].T
        at_node = jnp.where(z > 0, -jnp.inf, 0.0)
        return jnp.where(x > 0, jnp.nan, jnp.where(y > 0, jnp.inf, at_node))

    plan = SamplePlan(log_abs, {"electrons": MCMCSampler(walkers=1000, moves=moves, width=0.7)})
    places = jnp.full((1000, 1, 3), -0.2).at[::2, :, 2].set(0.2)
    # A walker leaves the node with one move in seven.
    chains, made = compiled(plan, 150, adapt=False)(start(plan, {"electrons": places}), 0)
    assert np.all(np.asarray(chains.walkers["electrons"]) <= 0)
    assert np.all(np.asarray(chains.log_abs) == 0)
    assert 0 < made.nonfinite < 150_000 * (1 - made.acceptance)
    assert chains.samplers["electrons"].width == np.float32(0.7)
