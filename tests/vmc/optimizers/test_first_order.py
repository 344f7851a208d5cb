"""Adam and LAMB are Optax's under our names, and every parameter does what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiabat.errors import InputError
from adiabat.vmc.optimizers import AdamOptimizer, Cosine, LambOptimizer, Piecewise, Standard, optax_optimizer

PARAMS = {"w": jnp.array([[1.0, -2.0, 0.5], [0.3, 0.0, -1.0]]), "b": jnp.array([0.2, -0.4])}


def gradient(params, step):
    return jax.tree.map(lambda p: jnp.cos(3 * p + step), params)


def steps(optimizer, params=PARAMS, n=3):
    """The updates of n steps at fixed parameters, and the state after them."""
    state, found = optimizer.init(params), []
    for step in range(n):
        updates, state = optimizer.update(gradient(params, step), state, params)
        found.append(updates)
    return found, state


def weights(params):
    return {"w": True, "b": False}


def assert_close(ours, theirs, rtol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-8), ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            AdamOptimizer(learning_rate=Standard(0.1, 3.0), b1=0.8, b2=0.99),
            optax.adam(lambda step: 0.1 / (1 + step / 3.0), b1=0.8, b2=0.99),
        ),
        (AdamOptimizer(0.1, nesterov=True, eps_root=1e-3), optax.adam(0.1, nesterov=True, eps_root=1e-3)),
        (AdamOptimizer(0.1, mu_dtype="bfloat16"), optax.adam(0.1, mu_dtype=jnp.bfloat16)),
        (LambOptimizer(0.1), optax.lamb(0.1)),
        (
            LambOptimizer(Standard(0.1, 3.0), weight_decay=Cosine(0.5, steps=2, final=0.1), mask=weights),
            optax.lamb(lambda step: 0.1 / (1 + step / 3.0), weight_decay=Cosine(0.5, steps=2, final=0.1), mask=weights),
        ),
    ],
    ids=["adam", "adam, Nesterov", "adam, bfloat16", "lamb", "lamb, decaying"],
)
def test_updates_and_states_are_those_of_optax(ours, theirs):
    mine, state = steps(ours)
    reference, expected = steps(theirs)
    assert_close(mine, reference)
    assert_close(state.inner[0], expected[0], rtol=1e-4)


def test_keywords_of_the_stage_are_ignored():
    optimizer = AdamOptimizer()
    state = optimizer.init(PARAMS, batched_data=None)
    optimizer.update(PARAMS, state, PARAMS, batched_data=None, residuals=None, rngs=None)


def by_the_papers(kind, *, learning_rate=0.01, b1=0.9, b2=0.999, eps=None, eps_root=0.0, nesterov=False, **decay):
    """Updates of Adam and LAMB as the papers have them, in float64."""
    eps = {"adam": 1e-8, "lamb": 1e-6}[kind] if eps is None else eps
    mean = dict.fromkeys(PARAMS, 0.0)
    square = dict(mean)
    found = []
    for step in range(3):
        t, updates = step + 1, {}
        for name, g in gradient(PARAMS, step).items():
            g, parameter = np.asarray(g, np.float64), np.asarray(PARAMS[name], np.float64)
            mean[name] = b1 * mean[name] + (1 - b1) * g
            square[name] = b2 * square[name] + (1 - b2) * g**2
            first = mean[name] / (1 - b1**t)
            if nesterov:
                first = b1 * mean[name] / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
            direction = first / (np.sqrt(square[name] / (1 - b2**t) + eps_root) + eps)
            if kind == "lamb":
                decays = decay.get("mask", lambda params: dict.fromkeys(params, True))(PARAMS)[name]
                direction = direction + decay.get("weight_decay", 0.0) * decays * parameter
                direction = direction * np.linalg.norm(parameter) / np.linalg.norm(direction)
            updates[name] = -learning_rate * direction
        found.append(updates)
    return found


ADAM = [{"learning_rate": 0.2}, {"b1": 0.5}, {"b2": 0.9}, {"eps": 0.1}, {"eps_root": 0.1}]
LAMB = [*ADAM, {"weight_decay": 0.3}, {"weight_decay": 0.3, "mask": weights}]


@pytest.mark.parametrize(
    ("kind", "changed"),
    [*(("adam", one) for one in [*ADAM, {"nesterov": True}]), *(("lamb", one) for one in LAMB)],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_every_parameter_does_what_it_says(kind, changed):
    optimizer = {"adam": AdamOptimizer, "lamb": LambOptimizer}[kind]
    found, _ = steps(optimizer(**{"learning_rate": 0.01, **changed}))
    assert_close(found, by_the_papers(kind, **changed), rtol=1e-4)
    without = {name: value for name, value in changed.items() if name == "weight_decay" and "mask" in changed}
    before = by_the_papers(kind, **without)
    assert not np.allclose(np.concatenate([u["b"] for u in found]), np.concatenate([u["b"] for u in before]), 1e-3)


@pytest.mark.parametrize("kind", ["adam", "lamb"])
@pytest.mark.parametrize("name", ["b1", "b2", "eps", "eps_root"])
def test_every_number_may_be_a_schedule(kind, name):
    """From the third step on it is another number, and so is the update."""
    optimizer = {"adam": AdamOptimizer, "lamb": LambOptimizer}[kind]
    numbers = (0.5, 0.25)
    found, plain = (
        steps(optimizer(learning_rate=0.01, **{name: value}))[0]
        for value in (Piecewise(numbers, steps=(2,)), numbers[0])
    )
    assert_close(found[:2], plain[:2])
    assert not np.allclose(found[2]["b"], plain[2]["b"], rtol=1e-4, atol=0)


def test_the_first_moment_has_the_precision_asked_for():
    found, state = steps(AdamOptimizer(0.01, mu_dtype="bfloat16"))
    exact, _ = steps(AdamOptimizer(0.01))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state.inner[0].mu)} == {"bfloat16"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves((state.inner[0].nu, found))} == {"float32"}
    assert_close(found, exact, rtol=2e-2)
    assert not np.allclose(found[2]["w"], exact[2]["w"], rtol=1e-5, atol=0)


def test_the_defaults_are_those_that_are_documented():
    adam, lamb = AdamOptimizer(), LambOptimizer()
    assert (adam.b1, adam.b2, adam.eps, adam.eps_root, adam.nesterov, adam.mu_dtype) == (
        *(0.9, 0.999, 1e-8, 0.0),
        *(False, None),
    )
    assert (lamb.b1, lamb.b2, lamb.eps, lamb.eps_root, lamb.weight_decay, lamb.mask) == (
        *(0.9, 0.999, 1e-6, 0.0),
        *(0.0, None),
    )


@pytest.mark.parametrize("optimizer", [AdamOptimizer(0.1), LambOptimizer(0.1), optax_optimizer("adabelief")(0.1)])
def test_a_complex_parameter_is_two_real_ones(optimizer):
    """With the gradient dE/dx + i dE/dy of z = x + i y; both in one array, whose length LAMB looks at."""
    z = jnp.array([1.0 + 2.0j, -0.3 + 0.1j, 0.5 - 1.0j], jnp.complex64)
    params, parts = {"z": z, "r": PARAMS["b"]}, {"z": jnp.stack([z.real, z.imag]), "r": PARAMS["b"]}
    state, state_of_parts = optimizer.init(params), optimizer.init(parts)
    for step in range(3):
        grads = gradient(params, step)
        grads_of_parts = {"z": jnp.stack([grads["z"].real, grads["z"].imag]), "r": grads["r"]}
        updates, state = optimizer.update(grads, state, params)
        expected, state_of_parts = optimizer.update(grads_of_parts, state_of_parts, parts)
        assert_close(updates, {"z": expected["z"][0] + 1j * expected["z"][1], "r": expected["r"]})
    assert updates["z"].dtype == jnp.complex64
    assert float(jnp.vdot(grads["z"], updates["z"]).real) < 0


@pytest.mark.parametrize(
    "optimizer", [AdamOptimizer(), AdamOptimizer(mu_dtype="float64"), LambOptimizer(weight_decay=Standard(0.1))]
)
def test_parameters_keep_their_precision_where_64_bits_exist(optimizer):
    def step(params):
        state = optimizer.init(params)
        return state, *optimizer.update(params, state, params)

    with jax.enable_x64(True):
        params = {"w": jnp.ones(3, jnp.float32), "z": jnp.ones(3, jnp.complex64)}
        state, updates, after = jax.eval_shape(step, params)
    assert {name: leaf.dtype.name for name, leaf in updates.items()} == {"w": "float32", "z": "complex64"}
    assert jax.tree.map(lambda leaf: leaf.dtype, after) == jax.tree.map(lambda leaf: leaf.dtype, state)


@pytest.mark.parametrize("kind", [AdamOptimizer, LambOptimizer, optax_optimizer("sgd")])
def test_a_run_may_go_on_with_a_schedule_in_place_of_a_number(kind):
    states = [kind(learning_rate=rate).init(PARAMS) for rate in (0.1, Standard(), lambda step: 0.1)]
    assert len({jax.tree.structure(state) for state in states}) == 1


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: AdamOptimizer(b1=1.0),
            r"AdamOptimizer\.b1: expected a kind of schedule or a number >= 0 and < 1, got 1\.0",
        ),
        (
            lambda: AdamOptimizer(-1.0),
            r"AdamOptimizer\.learning_rate: expected a kind of schedule or a number >= 0.*, got -1\.0",
        ),
        (lambda: AdamOptimizer(mu_dtype="float8"), r"AdamOptimizer\.mu_dtype: expected one of 'bfloat16'"),
        (
            lambda: LambOptimizer(weight_decay=-0.1),
            r"LambOptimizer\.weight_decay: expected a kind of schedule or a number >= 0",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()
