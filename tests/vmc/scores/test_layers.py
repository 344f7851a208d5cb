"""The layer finder: it sees the dense layers of any program, and takes nothing else for one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import jacobian, quick_jit, walkers

from adiabat.electrons.molecule import Molecule
from adiabat.electrons.wavefunctions import FermiNet, Psiformer
from adiabat.vmc.scores.layers import trace
from adiabat.vmc.scores.table import scores

LIH = Molecule(("Li", "H"), np.array([[0, 0, 0], [0, 0, 3.015]]))
X = walkers(1, 4)["electrons"][0]
SQUARE = np.random.default_rng(0).standard_normal((3, 3))


def named(network, leaves):
    """Where these leaves are in the network's parameters: ["['trunk']['w']", ...]."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(network.init(0))]
    return {paths[leaf] for leaf in leaves}


@pytest.mark.parametrize("size", [dict(start="hartree-fock"), dict(start="random")], ids=lambda size: size["start"])
@pytest.mark.parametrize("kind", [FermiNet, Psiformer])
def test_every_weight_of_our_networks_is_a_layer(kind, size):
    network = kind(molecule=LIH, layers=2, **size)
    traced = trace(lambda params, x: network.log_psi(params, x)[0], network.init(0), jnp.asarray(X, jnp.float32))
    everything = named(network, range(traced.n_params))
    weights = {name for name in everything if name.endswith("['w']") or "coefficients" in name}
    assert named(network, traced.layers) == weights
    assert named(network, traced.explicit) == everything - weights


PROGRAMS = {
    # what is done with the weights: leaves are a layer?
    "once": (lambda w, x: x @ w, True),
    "for all rows at once": (lambda w, x: jnp.stack([x, x]) @ w, True),
    "twice": (lambda w, x: jnp.tanh(x @ w) @ w, True),
    "in a jitted part": (lambda w, x: jax.jit(lambda w: jnp.tanh(x @ w))(w), True),
    "row by row": (lambda w, x: jax.vmap(lambda row: row @ w)(x), True),
    "also elsewhere": (lambda w, x: x @ w + jnp.sum(w**2), False),
    "also returned": (lambda w, x: (x @ w, w), False),
    "transposed": (lambda w, x: x @ w.T, False),
    "contracted with its outputs": (lambda w, x: jnp.einsum("ri,oi->ro", x, w), False),
    "from the left": (lambda w, x: w @ x.T, False),
    "with itself": (lambda w, x: x @ (w @ w), False),
    "scaled": (lambda w, x: x @ (2 * w), False),
    "beside constants": (lambda w, x: jnp.concatenate([x @ w, jnp.ones((1, 3))]) + jnp.zeros(3), True),
    "in a loop": (lambda w, x: jax.lax.fori_loop(0, 2, lambda _, h: jnp.tanh(h @ w), x), False),
    "never": (lambda w, x: x, False),
}


@pytest.mark.parametrize(("function", "is_layer"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_layer_is_a_weight_that_enters_in_products_from_the_right_only(function, is_layer):
    traced = trace(function, SQUARE, X)
    assert (traced.layers, traced.explicit) == (((0,), ()) if is_layer else ((), (0,)))


SUMS = {
    # what is done with two products and two vectors: do the products share a cotangent?
    "a sum": (lambda p, q, a, b: jnp.tanh(p + q), True),
    "a longer sum": (lambda p, q, a, b: jnp.tanh(a + p + (b + q)), True),
    "a sum in a jitted part": (lambda p, q, a, b: jax.jit(lambda p, q: p + q)(p, q), False),
    "a sum that is read twice": (lambda p, q, a, b: (lambda s: s * jnp.sin(s))(p + q), True),
    "one also elsewhere": (lambda p, q, a, b: jnp.tanh(p + q) + p, False),
    "two sums": (lambda p, q, a, b: jnp.tanh(p + a) + jnp.sin(q + b), False),
    "a difference": (lambda p, q, a, b: p - q, False),
    "of a function of one": (lambda p, q, a, b: p + jnp.sin(q), False),
}


STRETCHED = {
    # sums of products that are stretched along axes of length 1, each another one
    "pairs": lambda v, w, x: x[:, None] @ v + x[None] @ w,
    "a mean for all": lambda v, w, x: x @ v + jnp.mean(x, axis=0, keepdims=True) @ w,
}


@pytest.mark.parametrize("function", STRETCHED.values(), ids=STRETCHED)
@pytest.mark.usefixtures("x64")
def test_stretched_products_have_cotangents_of_their_own(function):
    rng = np.random.default_rng(0)
    params = {"v": rng.standard_normal((3, 5)), "w": rng.standard_normal((3, 5))}
    data = jax.tree.map(jnp.asarray, walkers(4, 3))

    def log_psi(params, walker):
        return jnp.sum(jnp.sin(function(params["v"], params["w"], walker["electrons"])))

    found = quick_jit(lambda params, data: scores(log_psi, params, data).matrix())(params, data)
    np.testing.assert_allclose(found, jacobian(log_psi, params, data), rtol=1e-12, atol=1e-12)


def test_one_number_for_all_outputs_is_no_bias():
    traced = trace(lambda p, x: jnp.tanh(x @ p["w"] + p["b"]), {"b": np.ones(1), "w": SQUARE}, X)
    assert traced.biases == {}
    assert trace(lambda p, x: jnp.tanh(x @ p["w"] + p["b"]), {"b": np.ones(3), "w": SQUARE}, X).biases == {1: 0}


@pytest.mark.parametrize(("function", "shared"), SUMS.values(), ids=SUMS)
@pytest.mark.usefixtures("x64")
def test_products_that_are_added_up_share_their_cotangent(function, shared):
    """And with it every gradient remains what it is."""
    rng = np.random.default_rng(0)
    params = {"v": rng.standard_normal((3, 2)), "w": rng.standard_normal((3, 2))}
    a, b = rng.standard_normal((2, len(X), 2))

    def log_psi(params, x):
        return jnp.sum(jnp.cos(function(x @ params["v"], jnp.sin(x) @ params["w"], a, b)))

    traced = trace(log_psi, params, X)
    assert traced.layers == (0, 1)
    assert len(traced.zero_taps(jnp.float64)) == (1 if shared else 2)
    leaves = [jnp.asarray(leaf) for leaf in params.values()]

    def with_taps(taps):
        (value,), activations = traced.tapped(leaves, [jnp.asarray(X)], taps)
        return value, activations

    cotangents, activations = jax.grad(with_taps, has_aux=True)(traced.zero_taps(jnp.float64))
    expected = jax.tree.leaves(jax.grad(log_psi)(params, X))
    for use, x in zip(traced.uses, activations, strict=True):
        np.testing.assert_allclose(x.T @ cotangents[use.tap], expected[use.leaf], rtol=1e-12)


def test_layers_of_ferminet_that_feed_the_same_electron_share_their_cotangent():
    network = FermiNet(molecule=LIH, layers=2, start="random")
    traced = trace(lambda params, x: network.log_psi(params, x)[0], network.init(0), jnp.asarray(X, jnp.float32))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(network.init(0))]
    taps = {paths[use.leaf]: use.tap for use in traced.uses}
    for layer in (0, 1):
        one, means, pairs = (taps[f"['trunk']['layers'][{layer}]['{name}']['w']"] for name in ("one", "means", "pairs"))
        assert one == pairs != means


@pytest.mark.parametrize("name", [name for name, (_, is_layer) in PROGRAMS.items() if is_layer])
@pytest.mark.usefixtures("x64")
def test_activations_and_cotangents_of_all_uses_make_the_gradient(name):
    def function(w, x):
        return jnp.sum(jnp.sin(PROGRAMS[name][0](w, x)))

    traced = trace(function, SQUARE, X)

    def with_taps(taps):
        (value,), activations = traced.tapped([jnp.asarray(SQUARE)], [jnp.asarray(X)], taps)
        return value, activations

    cotangents, activations = jax.grad(with_taps, has_aux=True)(traced.zero_taps(jnp.float64))
    gradient = sum(
        jnp.tensordot(x.reshape(-1, 3), cotangents[use.tap], axes=(0, 0))
        for use, x in zip(traced.uses, activations, strict=True)
    )
    np.testing.assert_allclose(gradient, jax.grad(function)(SQUARE, X), rtol=1e-12)
