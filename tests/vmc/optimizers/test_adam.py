"""Adam is Optax's Adam under our names."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiabat.vmc.optimizers import AdamOptimizer, Standard


@pytest.mark.parametrize("nesterov", [False, True])
def test_updates_are_those_of_optax(nesterov):
    ours = AdamOptimizer(learning_rate=Standard(0.1, 3.0), b1=0.8, b2=0.99, nesterov=nesterov)
    theirs = optax.adam(lambda step: 0.1 / (1 + step / 3.0), b1=0.8, b2=0.99, nesterov=nesterov)
    params = {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}
    state, reference = ours.init(params), theirs.init(params)
    for step in range(3):
        grads = jax.tree.map(lambda p, step=step: jnp.cos(p + step), params)
        updates, state = ours.update(grads, state, params, batched_data=None, residuals=None)
        expected, reference = theirs.update(grads, reference, params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), updates, expected)


def test_parameters_keep_their_precision_where_64_bits_exist():
    with jax.enable_x64(True):
        params = {"w": jnp.ones(3, jnp.float32)}
        updates, state = AdamOptimizer().update(params, AdamOptimizer().init(params), params)
    assert {leaf.dtype for leaf in jax.tree.leaves((updates, state))} == {np.dtype("float32"), np.dtype("int32")}
