"""Psiformer: the network of the paper."""

import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import LIH, RANDOM, quick_jit, shaken, six_walkers, small

from adiabat.electrons.wavefunctions import Psiformer
from adiabat.electrons.wavefunctions.geometry import geometry


def normalised(params, h):
    return (h - h.mean(axis=-1, keepdims=True)) / np.sqrt(h.var(axis=-1, keepdims=True) + 1e-5) * params[
        "scale"
    ] + params["shift"]


def attention(layer, h, heads):
    """Head by head, as in section 3 of von Glehn, Spencer and Pfau (2023)."""
    outputs = []
    for columns in np.split(np.arange(h.shape[1]), heads):
        q, k, v = (h @ layer[name]["w"][:, columns] for name in ("query", "key", "value"))
        weights = np.exp(q @ k.T / np.sqrt(len(columns)))
        outputs.append(weights / weights.sum(axis=1, keepdims=True) @ v)
    return np.concatenate(outputs, axis=1) @ layer["output"]["w"]


def as_in_the_paper(params, x, molecule, heads):
    vectors = x[:, None] - molecule.positions
    r = np.linalg.norm(vectors, axis=-1, keepdims=True)
    features = np.concatenate([np.log(1 + r), vectors * np.log(1 + r) / r], axis=-1).reshape(len(x), -1)
    spins = np.repeat([1.0, -1.0], [molecule.n_up, molecule.n_down])[:, None]
    h = np.concatenate([features, spins], axis=1) @ params["embedding"]["w"]
    for layer in params["layers"]:
        h = h + attention(layer, normalised(layer["attention_norm"], h), heads)
        perceptron = layer["perceptron"]
        h = h + np.tanh(normalised(layer["perceptron_norm"], h) @ perceptron["w"] + perceptron["b"])
    return h


@pytest.mark.usefixtures("x64")
def test_the_trunk_is_that_of_the_paper():
    network = small(Psiformer, RANDOM)
    params, x = shaken(network.init(0)["trunk"]), six_walkers()[0]
    found = quick_jit(lambda params, x: network.trunk(params, geometry(x, LIH.positions)))(params, jnp.asarray(x))
    np.testing.assert_allclose(found, as_in_the_paper(params, x, LIH, 2), rtol=1e-11)


@pytest.mark.parametrize(("size", "width"), [("default", 256), ("large", 512)])
def test_the_published_sizes(size, width):
    network = Psiformer(molecule=LIH, size=size)
    assert (network.trunk_width, network.n_determinants, network.chosen("layers")) == (width, 16, 4)
    assert not network.starts_from_hartree_fock


def test_features_are_finite_on_a_nucleus_where_they_have_no_cusp():
    """A cuspless length is exactly zero there in single precision."""
    network = Psiformer(molecule=LIH, layers=1, start="hartree-fock")
    x = jnp.asarray(np.tile(LIH.positions, (2, 1)), jnp.float32)
    trunk = quick_jit(lambda x: network.trunk(network.init(0)["trunk"], geometry(x, LIH.positions)))
    assert np.all(np.isfinite(trunk(x)))
