"""The matrix of scores as it is applied, against the matrix itself."""

import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import Perceptron, jacobian, quick_jit, walkers

from adiabat.electrons.molecule import Molecule
from adiabat.electrons.wavefunctions import FermiNet, Psiformer
from adiabat.vmc.log_psi import as_log_psi
from adiabat.vmc.optimizers import scores as scores_module
from adiabat.vmc.optimizers.scores import scores

pytestmark = pytest.mark.usefixtures("x64")

WALKERS = 13
KEPT = {"all kept by layers": -1e9, "all explicit": 1e9}


def explicit(log_psi, params, data):
    """Rows of the real parts, then those of the imaginary parts where there are any."""
    table = jacobian(log_psi, params, data)
    return np.concatenate([table.real, table.imag]) if np.iscomplexobj(table) else table


def centred(matrix, parts):
    by_part = matrix.reshape(parts, -1, *matrix.shape[1:])
    return (by_part - by_part.mean(axis=1, keepdims=True)).reshape(matrix.shape)


def doubly_centred(gram, parts):
    return centred(centred(gram, parts).T, parts)


def assert_same_matrix(log_psi, params, data, chunk, rtol):
    dense = explicit(log_psi, params, data)
    rows = len(dense)
    parts = rows // len(data["electrons"])
    vector = np.cos(np.arange(dense.shape[1])).astype(dense.dtype)
    weights = np.sin(np.arange(rows)).astype(dense.dtype)

    def applied(params, data):
        table = scores(log_psi, params, data, chunk=chunk)
        return table, table.gram(), table.dot(jnp.asarray(vector)), table.transpose_dot(jnp.asarray(weights))

    table, gram, dot, transpose_dot = quick_jit(applied)(params, data)
    assert (table.rows, table.parts) == (rows, parts)
    assert gram.dtype == np.float64
    scale = np.abs(dense).max() ** 2 * dense.shape[1]
    np.testing.assert_allclose(
        doubly_centred(np.asarray(gram), parts), doubly_centred(dense @ dense.T, parts), rtol=0, atol=rtol * scale
    )
    assert dot.dtype == transpose_dot.dtype == dense.dtype
    np.testing.assert_allclose(dot, dense @ vector, rtol=0, atol=rtol * scale)
    np.testing.assert_allclose(transpose_dot, weights @ dense, rtol=0, atol=rtol * scale)
    return table


@pytest.mark.parametrize(
    ("keep", "chunk"), [("all kept by layers", None), ("all kept by layers", 5), ("all explicit", 1000)]
)
@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
def test_products_with_the_scores_are_those_with_the_explicit_matrix(is_complex, keep, chunk, monkeypatch):
    monkeypatch.setattr(scores_module, "ELEMENTWISE_COST", KEPT[keep])
    network = Perceptron(is_complex)
    table = assert_same_matrix(network.log_psi, network.init(0), walkers(WALKERS), chunk, 1e-13)
    assert len(table.layers) == (3 if keep == "all kept by layers" else 0)


@pytest.mark.parametrize("kind", [FermiNet, pytest.param(Psiformer, marks=pytest.mark.slow)])
def test_the_scores_of_our_networks_in_single_precision(kind):
    hydrogen = Molecule(("H", "H"), np.array([[0, 0, 0], [0, 0, 1.4]]))
    network = kind(molecule=hydrogen, start="random", layers=2, determinants=2)
    log_psi = as_log_psi(network.log_psi)
    table = assert_same_matrix(log_psi, network.init(0), walkers(WALKERS, dtype="float32"), None, 1e-6)
    assert table.layers


@pytest.mark.parametrize(("count", "width", "kept"), [(4, 64, (0,)), (64, 4, ())], ids=["wide", "many"])
def test_a_layer_is_kept_where_its_share_of_the_gram_matrix_is_cheaper_that_way(count, width, kept):
    """Few walkers and wide layers, or many walkers and narrow ones; here without any other parameter."""

    def log_psi(params, walker):
        return jnp.sum(jnp.tanh(walker["electrons"] @ jnp.eye(3, width, dtype=jnp.float32) @ params["w"]))

    params = {"w": np.eye(width, dtype=np.float32)}
    table = assert_same_matrix(log_psi, params, walkers(count, dtype="float32"), None, 1e-6)
    assert table.layers == kept
