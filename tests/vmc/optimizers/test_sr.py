"""Stochastic reconfiguration: the direction is that of dense linear algebra, the step that of its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sr_problem import DAMPING, EPS, NETWORKS, WALKERS, Problem, assert_same, flat, optimizer
from vmc_toys import Perceptron, jacobian, quick_jit, ravel

from adiabat.errors import InputError
from adiabat.vmc.optimizers import (
    Constant,
    KFACOptimizer,
    Linear,
    Piecewise,
    SROptimizer,
    Standard,
    sr,
)
from adiabat.vmc.optimizers.auto_damping import AutoDamping
from adiabat.vmc.optimizers.solver_cost import cheapest
from adiabat.vmc.optimizers.sr import SRState
from adiabat.vmc.scores import program as score_program
from adiabat.vmc.scores import table as scores_module

pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture(scope="module")
def problem():
    with jax.enable_x64(True):
        return Problem()


@pytest.mark.parametrize("method", ["sample", "parameter", "cg"])
@pytest.mark.parametrize("march", [None, "var", "diff"])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("real", "float64"), ("complex", "float64"), ("complex parameters", "float64"), ("real", "float32")],
)
def test_the_direction_is_that_of_dense_linear_algebra(kind, dtype, march, method):
    problem = Problem(NETWORKS[kind](dtype), dtype=dtype)
    settings = dict(march_beta=None if march is None else 0.7, march_mode=march or "var", method=method)
    if dtype == "float32":
        settings["cg_tolerance"] = 1e-5
    updates, state = problem.update(optimizer(problem.network, **settings))
    metric = None
    if march == "var":
        variances = np.sum(problem.scores() ** 2, axis=0)
        varies = variances > EPS
        metric = np.where(varies, 0.7 * problem.metric + 0.3 * variances / np.mean(variances[varies]), problem.metric)
        np.testing.assert_allclose(state.metric, metric, rtol=1e-3 if dtype == "float32" else 1e-9)
    elif march == "diff":
        metric = problem.metric.astype(np.float64)
    expected = problem.dense_direction(metric=None if metric is None else np.sqrt(metric + EPS))
    found = np.asarray(state.direction)
    assert_same(found, expected, 1e-6 if dtype == "float64" else 1e-3)
    if march == "diff":
        changed = 0.7 * problem.metric + 0.3 * (found - problem.previous) ** 2
        np.testing.assert_allclose(state.metric, changed, rtol=1e-5)
    np.testing.assert_allclose(flat(updates), -np.float32(0.1) * found, rtol=1e-6)
    assert jax.tree.map(lambda leaf: leaf.dtype, updates) == jax.tree.map(lambda leaf: leaf.dtype, problem.params)
    assert float(state.diagnostics["damping"]) == pytest.approx(DAMPING)
    assert float(state.diagnostics["solver_fallbacks"]) == 0
    length = 0.1 * np.linalg.norm(problem.scores() @ expected)
    assert float(state.diagnostics["update_length"]) == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("method", ["sample", "parameter", "cg"])
@pytest.mark.parametrize("is_complex", [False, True])
def test_walkers_with_long_scores_weigh_less(is_complex, method):
    """The direction is that of least squares with these weights; one walker far out cannot raise the damping."""
    problem = Problem(Perceptron(is_complex))
    scores, parts = problem.scores(), 1 + is_complex
    lengths = np.linalg.norm(scores.reshape(parts, WALKERS, -1), axis=(0, 2))
    weights = np.tile(np.minimum(1, 1.1 * np.median(lengths) / lengths), parts)
    assert 3 <= np.sum(weights < 1) <= parts * WALKERS - 3
    expected = problem.dense_direction(weights=weights)
    assert_same(problem.direction(max_score=1.1, method=method), expected, 1e-6)
    assert_same(problem.direction(max_score=1e6, method=method), problem.dense_direction(), 1e-5)


def test_a_metric_leaves_the_weights_of_the_walkers_as_they_are(problem):
    lengths = np.linalg.norm(problem.scores(), axis=1)
    weights = np.minimum(1, 1.1 * np.median(lengths) / lengths)
    found = problem.direction(max_score=1.1, march_beta=0.7, march_mode="diff")
    assert_same(found, problem.dense_direction(weights=weights, metric=np.sqrt(problem.metric + EPS)), 1e-6)


HOW = {
    "by layer": (True, -(10**9)),
    "by weights": (True, 10**9),
    "explicit": (False, 0),
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_how_it_is_computed_changes_nothing(how, monkeypatch):
    """Chunks, layers or columns, held or evaluated again, pruned or not: the direction is the same."""
    problem = Problem(Perceptron(True))
    kept, price = how
    monkeypatch.setattr(score_program, "_is_smaller_by_layer", lambda *_: kept)
    monkeypatch.setattr(score_program, "ELEMENTWISE_COST", price)
    monkeypatch.setattr(scores_module, "FREE", 0)
    expected = problem.dense_direction()
    for settings in [
        dict(score_chunk_size=4),
        dict(score_chunk_size=None, gram_num_chunks=None),
        dict(gram_num_chunks=7, gram_dot_prec="F64"),
        dict(score_chunk_size=1000, prune_inactive=True),
    ]:
        assert_same(problem.direction(**settings), expected, 1e-9)


def test_precision_is_what_was_asked_for():
    """Products in float32 of float64 scores are wrong in the seventh digit, sums and solution in float32 much more."""
    problem = Problem()
    expected = problem.dense_direction()
    error = {
        name: np.linalg.norm(problem.direction(**settings) - expected) / np.linalg.norm(expected)
        for name, settings in {"F64": dict(gram_dot_prec="F64"), "F32": dict(gram_dot_prec="F32")}.items()
    }
    assert error["F64"] < 1e-9 < error["F32"] < 1e-2
    single = Problem(dtype="float32")
    mixed, pure = (single.direction(gram_dot_prec="F64", mixed_precision=mixed) for mixed in (True, False))
    expected = single.dense_direction()
    assert np.linalg.norm(mixed - expected) < np.linalg.norm(pure - expected)


def test_without_momentum_and_with_much_damping_it_is_the_gradient(problem):
    direction = problem.direction(spring_mu=None, damping=1e6)
    gradient = quick_jit(problem.loss.gradient)(problem.params, problem.data, problem.residuals)
    np.testing.assert_allclose(1e6 * direction, ravel(gradient), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_constant_energy_changes_nothing(kind):
    """The centred scores do not see it: the null vector of the Gram matrix is no direction. Nor an imaginary one."""
    network = NETWORKS[kind]("float64")
    once, again, shifted = Problem(network), Problem(network, imaginary=3.0), Problem(network)
    shifted.residuals = shifted.residuals + 7.0
    reference = once.direction()
    for other in (again, shifted):
        np.testing.assert_allclose(other.direction(), reference, rtol=0, atol=1e-9 * np.abs(reference).max())


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


@pytest.mark.parametrize("method", ["sample", "parameter", "cg"])
def test_damping_rises_until_the_condition_number_is_below_its_limit(problem, method):
    _, state = problem.update(optimizer(problem.network, max_cond_num=100.0, method=method))
    largest = np.linalg.norm(problem.scores(), 2) ** 2
    # Ten power iterations give the largest eigenvalue from below.
    assert 0.9 * largest / 99 < float(state.diagnostics["damping"]) <= largest / 99 * (1 + 1e-6)
    _, state = problem.update(optimizer(problem.network, max_cond_num=1e12, method=method))
    assert float(state.diagnostics["damping"]) == pytest.approx(DAMPING)


def test_scores_are_clipped_to_a_mean_absolute_value():
    """Rows are scaled down before they are centred."""
    problem = Problem(Perceptron(True))
    table = jacobian(problem.network.log_psi, problem.params, problem.data)
    means = np.mean(np.abs(table), axis=1)
    clip = float(np.median(means))
    table = table * np.minimum(1, clip / means)[:, None]
    table = (table - table.mean(axis=0)) / np.sqrt(WALKERS)
    problem.scores = lambda: np.concatenate([table.real, table.imag])
    assert_same(problem.direction(score_norm_clip=clip), problem.dense_direction(), 1e-6)


def test_directions_without_score_keep_their_metric(problem):
    """``eps`` is the variance below which a parameter counts as one that has no score."""
    _, state = problem.update(optimizer(problem.network, march_beta=0.5, eps=1e6))
    np.testing.assert_array_equal(state.metric, problem.metric)


@pytest.mark.parametrize("method", ["sample", "parameter"])
def test_a_failed_factorisation_is_counted_and_solved_by_eigenvalues(problem, method):
    """A negative damping makes the matrix indefinite; the eigenvalues that remain positive are used."""
    _, state = problem.update(optimizer(problem.network, damping=lambda step: -0.5, spring_mu=None, method=method))
    assert state.diagnostics["solver_fallbacks"] == 1
    values, vectors = np.linalg.eigh(problem.scores() @ problem.scores().T)
    kept = values > 0.5
    assert 0 < kept.sum() < WALKERS - 1
    weights = vectors[:, kept] @ ((vectors[:, kept].T @ problem.residuals) / (values[kept] - 0.5))
    np.testing.assert_allclose(np.asarray(state.direction), problem.scores().T @ weights, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", ["sample", "parameter"])
def test_beside_a_gradient_too_a_walker_far_out_has_no_say_in_the_momentum(method):
    """With a slope of zero only the momentum is left, and what is left of it is the same from either."""
    problem = Problem()
    settings = dict(method=method, max_score=1.1)
    nothing = jax.tree.map(jnp.zeros_like, problem.params)
    expected = problem.update(optimizer(problem.network, **settings), residuals=jnp.zeros(WALKERS))[1].direction
    found = problem.update(optimizer(problem.network, **settings), grads=nothing, residuals=None)[1].direction
    settings["max_score"] = None
    everyone = problem.update(optimizer(problem.network, **settings), residuals=jnp.zeros(WALKERS))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert not np.allclose(found, everyone[1].direction, rtol=1e-2)


def test_conjugate_gradients_stop_early_and_say_how_far_they_came(problem):
    _, state = problem.update(optimizer(problem.network, method="cg", cg_iterations=3))
    assert state.diagnostics["solver_iterations"] == 3
    assert state.diagnostics["solver_residual"] > 1e-9
    assert state.diagnostics["solver_fallbacks"] == 1
    expected = problem.dense_direction()
    errors = [np.linalg.norm(problem.direction(method="cg", cg_tolerance=t) - expected) for t in (0.3, 1e-3, 1e-9)]
    assert errors[0] > errors[1] > errors[2]


def test_scores_that_are_not_finite_stay_so_and_are_no_fallback():
    broken = Problem()
    broken.data = {"electrons": np.where(np.arange(WALKERS)[:, None, None] == 3, np.nan, broken.data["electrons"])}
    for method in ("sample", "parameter", "cg"):
        updates, state = broken.update(optimizer(broken.network, method=method))
        assert not np.isfinite(ravel(updates)).any()
        if method != "cg":
            assert state.diagnostics["solver_fallbacks"] == 0


def test_the_cheapest_way_is_taken():
    """Few walkers: among them. Few parameters: among those. Many of both: without a matrix."""

    def chosen(count, width):
        network = Perceptron(width=width)
        data = {"electrons": jax.ShapeDtypeStruct((count, 2, 3), jnp.float64)}
        found = []

        def look(params, data):
            table = scores_module.scores(network.log_psi, params, data)
            found.append(cheapest(table, 200, False))
            return 0

        jax.eval_shape(look, network.init(0), data)
        return found[0]

    assert chosen(16, 64) == "sample"
    assert chosen(4096, 3) == "parameter"
    assert chosen(200_000, 128) == "cg"
    given = Problem()
    assert_same(given.direction(method="auto"), given.dense_direction(), 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("chosen", [SROptimizer, KFACOptimizer])
def test_the_state_keeps_its_form_whatever_is_set(chosen, dtype):
    """It has to, in a loop; and settings that shape nothing may change when a run resumes."""
    problem = Problem(dtype=dtype)
    data = jax.tree.map(jnp.asarray, problem.data)
    params = jax.tree.map(jnp.asarray, problem.params)
    every = [dict(), dict(damping=AutoDamping())]
    if chosen is SROptimizer:
        every += [dict(method="cg"), dict(method="parameter", spring_mu=None), dict(spring_mu=Standard(0.9))]
    forms = []
    for settings in every:
        optimizer = chosen(**settings, f_log_psi=problem.network.log_psi)

        def loop(params, data, residuals, optimizer=optimizer):
            before = optimizer.init(params, batched_data=data)
            _, after = optimizer.update(None, before, params, batched_data=data, residuals=residuals)
            return before, after

        before, after = jax.eval_shape(loop, params, data, jnp.asarray(problem.residuals))
        assert before == after
        forms.append(before)
    assert all(form == forms[0] for form in forms)


@pytest.mark.parametrize(
    ("name", "value", "other", "settings"),
    [
        ("learning_rate", 0.1, 0.2, {}),
        ("max_norm", 0.02, 0.04, {}),
        ("max_length", 1e-3, 2e-3, {}),
        ("damping", 1e-3, 2e-3, {}),
        ("max_cond_num", 50.0, 100.0, {}),
        ("max_score", 1.1, 1.3, {}),
        ("spring_mu", 0.9, 0.8, {}),
        ("score_norm_clip", 0.3, 0.4, {}),
        ("march_beta", 0.7, 0.6, {}),
        ("march_beta", 0.7, 0.6, {"march_mode": "diff"}),
        ("eps", 0.05, 0.1, {"march_beta": 0.7}),
        ("cg_tolerance", 0.3, 1e-6, {"method": "cg"}),
    ],
)
def test_every_number_may_be_a_schedule(problem, name, value, other, settings):
    """From the step on at which it becomes another number, so does the update."""

    def updated(number):
        updates, state = problem.update(optimizer(problem.network, **settings, **{name: number}), step=5)
        return np.concatenate([ravel(updates), state.direction, [] if state.metric is None else state.metric])

    before, found, expected = updated(other), updated(Piecewise((other, value), steps=(5,))), updated(value)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert not np.allclose(found, before, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("march", [None, "var"])
@pytest.mark.parametrize(("method", "tolerance"), [("sample", 1e-6), ("parameter", 1e-6), ("cg", 1e-4)], ids=str)
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_gradient_will_do_where_there_are_no_residuals(kind, method, tolerance, march):
    problem = Problem(NETWORKS[kind]("float64"))
    chosen = optimizer(problem.network, method=method, damping=AutoDamping(), march_beta=march and 0.7)
    gradient = quick_jit(problem.loss.gradient)(problem.params, problem.data, jnp.asarray(problem.residuals))
    updates, state = problem.update(chosen)
    found, after = problem.update(chosen, grads=gradient, residuals=None)
    assert_same(flat(found), flat(updates), tolerance)
    assert float(after.damping.last) == pytest.approx(float(state.damping.last), rel=1e-4)
    with pytest.raises(ValueError, match="needs the gradient of the energy, or residuals="):
        problem.update(chosen, residuals=None)


@pytest.mark.parametrize("method", ["sample", "parameter", "cg"])
def test_the_limit_of_the_condition_number_knows_small_curvatures(method):
    """The null vector that is lifted to eigenvalue 1 has no part in it."""
    problem = Problem()
    scaled = Problem()
    scaled.network = Scaled(problem.network, 0.05)
    _, state = scaled.update(optimizer(scaled.network, max_cond_num=50.0, method=method))
    largest = 0.05**2 * np.linalg.norm(problem.scores(), 2) ** 2
    assert 0.9 * max(largest / 49, DAMPING) < float(state.diagnostics["damping"]) <= max(largest / 49, DAMPING) * 1.001


class Scaled:
    """Another network's log psi times a number."""

    def __init__(self, network, factor):
        self.network, self.factor = network, factor

    def log_psi(self, params, x):
        return self.factor * self.network.log_psi(params, x)


def test_real_energies_of_a_complex_wavefunction_are_complex_ones_without_imaginary_part():
    problem = Problem(Perceptron(True))
    problem.residuals = problem.residuals.real + 0j
    expected = problem.direction()
    problem.residuals = problem.residuals.real
    assert_same(problem.direction(), expected, 1e-12)


def test_more_chunks_than_walkers_are_refused(problem):
    chosen = optimizer(problem.network, gram_num_chunks=16)
    optimizer(problem.network).init(problem.params, batched_data={"electrons": jnp.ones((2, 2, 3))})
    with pytest.raises(InputError, match="16 chunks for the Gram matrix of 15 walkers; expected at most 15"):
        chosen.init(problem.params, batched_data=jax.tree.map(jnp.asarray, problem.data))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (dict(damping=-1e-3), "damping: expected .*> 0, got -0.001"),
        (dict(march_mode="vra"), "march_mode: expected .*var.*, got 'vra', did you mean 'var'"),
        (dict(method="gc"), "method: expected .*cg.*, got 'gc'"),
        (dict(max_norm=-1.0), "max_norm: expected a kind of schedule or a number > 0 or 'fixed' or none, got -1.0"),
        (dict(max_norm="fixd"), "max_norm: expected .*, got 'fixd', did you mean 'fixed'"),
        (dict(march_beta=AutoDamping()), "march_beta: expected a number or a schedule, got AutoDamping"),
        (dict(spring_mu=Constant(1.5)), "spring_mu: expected a schedule of numbers >= 0 and < 1, but .* comes to 1.5"),
        (dict(max_cond_num=Constant(0.5)), "max_cond_num: expected a schedule of numbers > 1, but .* comes to 0.5"),
        (dict(eps=Linear(0.0, 1.0, 10)), "eps: expected a schedule of numbers > 0, but this one comes to 0"),
        (dict(damping="auto"), "damping: expected a number or a schedule, got 'auto'"),
        (dict(damping=None), "damping: expected a number or a schedule, got None"),
        (dict(damping=[1e-3]), "damping: expected a number or a schedule, got list"),
        (dict(learning_rate=Standard), "learning_rate: expected a number or a schedule, got <class"),
        (dict(learning_rate="cosine"), "learning_rate: expected a number or a schedule, got 'cosine'"),
        (dict(score_chunk_size=1.5), "score_chunk_size: expected an integer >= 1 or none, got 1.5"),
        (dict(prune_inactive="no"), "prune_inactive: expected true or false, got 'no'"),
        (dict(gram_dot_prec="F16"), "gram_dot_prec"),
    ],
)
def test_what_it_cannot_be_is_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        SROptimizer(**settings)


def test_an_optimizer_without_a_wavefunction_is_refused():
    params = {"w": np.ones(2)}
    with pytest.raises(ValueError, match="wired"):
        SROptimizer().update(None, SROptimizer().init(params), params, batched_data={}, residuals=jnp.ones(3))
    assert isinstance(SROptimizer().init(params), SRState)
    assert sr.SROptimizer is SROptimizer
