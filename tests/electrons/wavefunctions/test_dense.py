"""The one linear layer."""

import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.electrons.wavefunctions.dense import dense, init_dense


def test_it_acts_on_the_last_axis():
    rng = np.random.default_rng(0)
    layer = {"w": rng.standard_normal((3, 5)), "b": rng.standard_normal(5)}
    x = rng.standard_normal((2, 4, 3)).astype(np.float32)
    expected = np.einsum("abi,io->abo", x, layer["w"])
    np.testing.assert_allclose(dense({"w": layer["w"]}, jnp.asarray(x)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dense(layer, jnp.asarray(x)), expected + layer["b"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("fan_in", "scale"), [(None, 1.0), (900, 1.0), (None, 0.05)])
def test_weights_have_the_variance_that_keeps_the_size_of_features(fan_in, scale):
    layer = init_dense(np.random.default_rng(0), 100, 400, fan_in=fan_in, scale=scale)
    assert np.std(layer["w"]) == pytest.approx(scale / np.sqrt(fan_in or 100), rel=0.02)
    assert not layer["b"].any()
    assert {leaf.dtype for leaf in layer.values()} == {np.dtype("float32")}
    assert "b" not in init_dense(np.random.default_rng(0), 2, 2, bias=False)
