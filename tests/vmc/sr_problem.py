"""A problem of stochastic reconfiguration that is small enough for dense linear algebra in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
from vmc_toys import ComplexPerceptron, Perceptron, jacobian, quick_jit, walkers

from adiabat.vmc.gradient import LossAndGrad
from adiabat.vmc.optimizers import SROptimizer

WALKERS, EPS = 15, 1e-8
DAMPING = float(np.float32(1e-3))
"""As schedules, which are in single precision, give it."""


NETWORKS = {
    "real": lambda dtype: Perceptron(dtype=dtype),
    "complex": lambda dtype: Perceptron(True, dtype=dtype),
    "complex parameters": lambda dtype: ComplexPerceptron(dtype=dtype),
}


def flat(tree):
    """All numbers in one real row, a complex array as its real parts and then its imaginary ones."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    parts = [np.concatenate([a.real.ravel(), a.imag.ravel()]) if np.iscomplexobj(a) else a.ravel() for a in leaves]
    return np.concatenate(parts)


class Problem:
    """A network at some walkers, energies, and a direction and a metric from the steps before."""

    def __init__(self, network=None, *, dtype="float64", imaginary=0.0):
        self.network = network or Perceptron(dtype=dtype)
        self.params = self.network.init(0)
        self.data = walkers(WALKERS, dtype=dtype)
        one = jax.tree.map(lambda a: a[0], self.data)
        is_complex = jnp.iscomplexobj(jax.eval_shape(self.network.log_psi, self.params, one))
        rng = np.random.default_rng(1)
        energies = rng.standard_normal(WALKERS) + (1j * (imaginary + rng.standard_normal(WALKERS)) if is_complex else 0)
        wanted = np.result_type(dtype, np.complex64) if is_complex else np.dtype(dtype)
        self.loss = LossAndGrad(clip=None, f_log_psi=self.network.log_psi)
        self.residuals = np.asarray(self.loss.residuals(jnp.asarray(energies.astype(wanted))))
        self.previous = rng.standard_normal(flat(self.params).size).astype(dtype)
        self.metric = (0.5 + rng.random(self.previous.size)).astype(dtype)

    def update(self, optimizer, *, step=0, grads=None, residuals="its own", **state):
        """Updates and new state of one step."""
        given = optimizer.init(self.params)._replace(step=jnp.int32(step), direction=jnp.asarray(self.previous))
        if given.metric is not None:
            given = given._replace(metric=jnp.asarray(self.metric))
        given = given._replace(**state)

        residuals = self.residuals if isinstance(residuals, str) else residuals

        def run(params, state, data, residuals, grads):
            return optimizer.update(grads, state, params, batched_data=data, residuals=residuals, rngs=None)

        return quick_jit(run)(self.params, given, self.data, residuals, grads)

    def direction(self, *, network=None, **settings):
        return np.asarray(self.update(optimizer(network or self.network, **settings))[1].direction)

    def scores(self):
        """``O``: centred, divided by the root of the number of walkers, real parts above imaginary ones, in float64."""
        params, data = jax.tree.map(lambda p: np.asarray(p, np.result_type(p, np.float64)), (self.params, self.data))
        split = jax.tree.map(lambda p: np.stack([p.real, p.imag]) if np.iscomplexobj(p) else p, params)

        def of_split(split, walker):
            joined = jax.tree.map(lambda s, p: s[0] + 1j * s[1] if np.iscomplexobj(p) else s, split, params)
            return self.network.log_psi(joined, walker)

        table = jacobian(of_split, split, data)
        table = (table - table.mean(axis=0)) / np.sqrt(WALKERS)
        return np.concatenate([table.real, table.imag]) if np.iscomplexobj(table) else table

    def target(self):
        is_complex = np.iscomplexobj(self.residuals)
        return np.concatenate([self.residuals.real, self.residuals.imag]) if is_complex else self.residuals

    def dense_direction(self, momentum=0.9, metric=None, weights=1.0, damping=DAMPING):
        """Minimum of ``|w (O d - e)|^2 + damping (d - momentum * previous)^T M (d - momentum * previous)``."""
        scores, target = self.scores() * np.reshape(weights, (-1, 1)), self.target() * weights
        metric = np.ones(scores.shape[1]) if metric is None else metric
        curvature = scores.T @ scores + damping * np.diag(metric)
        previous = momentum * self.previous.astype(np.float64)
        return np.linalg.solve(curvature, scores.T @ target + damping * metric * previous)


def optimizer(network, **settings):
    given = dict(learning_rate=0.1, damping=DAMPING, max_length=None, max_cond_num=None, spring_mu=0.9, max_score=None)
    given |= dict(cg_tolerance=1e-9, cg_iterations=400, method="sample")
    return SROptimizer(**{**given, **settings}, f_log_psi=network.log_psi)


def assert_same(found, expected, tolerance):
    assert np.linalg.norm(found - expected) < tolerance * np.linalg.norm(expected)
