"""The matrix of scores as it is applied, against the matrix itself."""

import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import Perceptron, jacobian, quick_jit, walkers

from adiabat.electrons.molecule import Molecule
from adiabat.electrons.wavefunctions import FermiNet, Psiformer
from adiabat.vmc.log_psi import as_log_psi
from adiabat.vmc.scores import program as score_program
from adiabat.vmc.scores import table as scores_module
from adiabat.vmc.scores.columns import HeldColumns, RecomputedColumns
from adiabat.vmc.scores.gram import gram_matrix
from adiabat.vmc.scores.products import RowProducts
from adiabat.vmc.scores.table import scores

pytestmark = pytest.mark.usefixtures("x64")

WALKERS = 13
HOW = {
    # whether layers are kept, the price of their share by layers, whether other columns are held
    "by layer": (True, -(10**9), True),
    "by weights": (True, 10**9, True),
    "explicit": (False, 0, True),
    "evaluated again": (False, 0, False),
    "layers, others evaluated again": (True, -(10**9), False),
}


@pytest.fixture(params=HOW.values(), ids=HOW.keys())
def hold(request, monkeypatch):
    """Each way to have the scores; whether columns are held."""
    kept, price, hold = request.param
    monkeypatch.setattr(score_program, "_is_smaller_by_layer", lambda *_: kept)
    monkeypatch.setattr(score_program, "ELEMENTWISE_COST", price)
    monkeypatch.setattr(scores_module, "FREE", 0)
    return hold


def explicit(log_psi, params, data):
    """Rows of the real parts, then those of the imaginary parts where there are any."""
    table = jacobian(log_psi, params, data)
    return np.concatenate([table.real, table.imag]) if np.iscomplexobj(table) else table


def centred(matrix, parts):
    by_part = matrix.reshape(parts, -1, *matrix.shape[1:])
    return (by_part - by_part.mean(axis=1, keepdims=True)).reshape(matrix.shape)


def doubly_centred(gram, parts):
    return centred(centred(gram, parts).T, parts)


def assert_same_matrix(log_psi, params, data, chunk, rtol, hold=None, scale=None):
    dense = explicit(log_psi, params, data)
    rows = len(dense)
    parts = rows // len(data["electrons"])
    vector = np.cos(np.arange(dense.shape[1])).astype(dense.dtype)
    weights = np.sin(np.arange(rows)).astype(dense.dtype)
    scale = None if scale is None else jnp.asarray(scale(np.arange(dense.shape[1])).astype(dense.dtype))

    def applied(params, data):
        table = scores(log_psi, params, data, chunk=chunk, hold=hold).scaled(jnp.asarray(2 + weights))
        return {
            "gram": gram_matrix(table, RowProducts(), scale),
            "dot": table.dot(jnp.asarray(vector)),
            "transpose_dot": table.transpose_dot(jnp.asarray(weights)),
            "squared_lengths": table.squared_lengths(),
            "centred_squares": table.centred_squares(),
            "squares": table.columns.squares(),
            "columns": table.columns.matrix(),
            "absolute": table.absolute_means(),
            "matrix": table.matrix(),
        }

    found = quick_jit(applied)(params, data)
    dense = (2 + weights)[:, None] * dense
    assert found["gram"].dtype == np.float64
    assert {value.dtype for name, value in found.items() if name != "gram"} == {dense.dtype}
    scaled = dense if scale is None else dense * scale
    modulus = np.linalg.norm(dense.reshape(parts, rows // parts, -1), axis=0)
    expected = {
        "gram": doubly_centred(scaled @ scaled.T, parts),
        "dot": dense @ vector,
        "transpose_dot": weights @ dense,
        "squared_lengths": np.sum(dense**2, axis=1),
        "centred_squares": np.sum(centred(dense, parts) ** 2, axis=0),
        "squares": np.sum(np.asarray(found["columns"]) ** 2, axis=0),
        "absolute": modulus.mean(axis=1),
        "matrix": dense,
    }
    found["gram"] = doubly_centred(np.asarray(found["gram"]), parts)
    size = np.abs(dense).max() ** 2 * dense.shape[1]
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=rtol * size, err_msg=name)


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
def test_products_with_the_scores_are_those_with_the_explicit_matrix(is_complex, chunk, hold):
    network = Perceptron(is_complex)
    scale = (lambda j: 1 + 0.5 * np.cos(3 * j)) if chunk else None
    assert_same_matrix(network.log_psi, network.init(0), walkers(WALKERS), chunk, 1e-13, hold, scale)


@pytest.mark.parametrize("kind", [FermiNet, pytest.param(Psiformer, marks=pytest.mark.slow)])
def test_the_scores_of_our_networks_in_single_precision(kind):
    hydrogen = Molecule(("H", "H"), np.array([[0, 0, 0], [0, 0, 1.4]]))
    network = kind(molecule=hydrogen, start="random", layers=2, determinants=2)
    log_psi = as_log_psi(network.log_psi)
    assert_same_matrix(log_psi, network.init(0), walkers(WALKERS, dtype="float32"), None, 1e-6)


def wide_layer(width):
    """A layer (width, width), a parameter beside it that is no layer, and one that does not reach the output."""

    def log_psi(params, walker):
        x = walker["electrons"] @ jnp.eye(3, width, dtype=jnp.float32)
        return jnp.sum(jnp.tanh(x @ params["w"])) + jnp.sum(params["free"] ** 2)

    params = {"free": (2, width, width), "idle": (3,), "w": (width, width)}
    return log_psi, {name: np.ones(shape, np.float32) for name, shape in params.items()}


def test_what_is_held_is_the_smaller(monkeypatch):
    """A layer as activations and cotangents where these are fewer numbers; columns as long as they are few."""
    monkeypatch.setattr(scores_module, "FREE", 0)
    log_psi, params = wide_layer(64)
    table = scores(log_psi, params, walkers(4, dtype="float32"))
    assert table.layout.layers == (2,)
    assert isinstance(table.columns, HeldColumns)
    table = scores(log_psi, params, walkers(64, dtype="float32"), chunk=2)
    assert isinstance(table.columns, RecomputedColumns)
    log_psi, params = wide_layer(3)
    assert scores(log_psi, params, walkers(4, dtype="float32")).layout.layers == ()


def test_the_cheaper_product_makes_the_gram_matrix():
    """Weights are columns where products of columns are cheaper and there is room."""
    assert score_program.layer_cost(2, 64, 64) < score_program.weights_cost(64, 64)
    assert score_program.layer_cost(50, 16, 16) > score_program.weights_cost(16, 16)
    log_psi, params = wide_layer(16)  # by activations 2 (16 + 16) numbers, 4 (16 + 16 + 25) multiplications; else 256
    data = walkers(4, dtype="float32")

    def layers(room, price):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(score_program, "ELEMENTWISE_COST", price)
            return score_program.ScoreProgram.of(log_psi, params, data, room=room).layout.layers

    everything = 2 * 16**2 + 16**2 + 3
    assert layers(everything, 25) == (2,)
    assert layers(everything, 100) == ()
    assert layers(everything - 1, 100) == (2,)


def test_parameters_that_do_not_reach_the_output_can_be_left_out(monkeypatch):
    monkeypatch.setattr(scores_module, "FREE", 0)
    log_psi, params = wide_layer(16)
    data = walkers(4, dtype="float32")
    all_of_them, pruned = (scores(log_psi, params, data, prune=prune) for prune in (False, True))
    assert (all_of_them.layout.explicit, pruned.layout.explicit) == ((0, 1), (0,))
    assert pruned.columns.values.shape[1] == all_of_them.columns.values.shape[1] - 3
    np.testing.assert_array_equal(all_of_them.matrix(), pruned.matrix())
    np.testing.assert_array_equal(pruned.transpose_dot(jnp.ones(4))[512:515], 0)
