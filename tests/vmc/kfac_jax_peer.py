"""Steps of kfac-jax on the same wavefunction, to be compared with."""

import re

import jax
import jax.numpy as jnp
import kfac_jax
from kfac_jax._src import tag_graph_matcher
from kfac_jax._src.curvature_blocks.diagonal import Diagonal

KEY = jax.random.key(0)
VARIANCE = 0.5
"""Of the distribution that log psi is the mean of; its Fisher matrix is twice that of log psi."""


def evaluate_equation(eqn, values):
    """As in kfac-jax, which expects what `get_bind_params` returned up to JAX 0.9.1."""
    result = eqn.primitive.bind(*values, **eqn.primitive.get_bind_params(eqn.params))
    return result if isinstance(result, list) else [result]


tag_graph_matcher.eval_jaxpr_eqn = evaluate_equation


def given_squares(squares):
    """A class of diagonal blocks whose squares are known from elsewhere, a list in the order of the blocks."""

    class Given(Diagonal):
        def update_curvature_matrix_estimate(
            self, state, estimation_data, ema_old, ema_new, identity_weight, batch_size
        ):
            number = int(re.search(r"generic\((\d+)\)", self.name).group(1))
            state = state.copy()
            (factor,) = state.diagonal_factors
            factor.update(squares[number], ema_old, ema_new)
            return state

    return Given


class Peer:
    """Preconditions a gradient, with a fixed damping.

    ``generic`` are the leaves that kfac-jax takes for no layer, in its order.
    """

    def __init__(self, log_psi, params, generic, *, damping, norm_constraint, inverse_update_period=1):
        self.log_psi, self.params, self.generic = log_psi, params, generic
        self.squares = [None] * len(generic)

        def value(params, key, data):
            values = jax.vmap(lambda x: log_psi(params, {"electrons": x}))(data)
            kfac_jax.register_normal_predictive_distribution(values[:, None], variance=VARIANCE)
            return jnp.mean(values)

        self.peer = kfac_jax.OptaxPreconditioner(
            value,
            damping=damping,
            norm_constraint=norm_constraint,
            estimation_mode="fisher_exact",
            inverse_update_period=inverse_update_period,
            batch_size_extractor=len,
            distributed_inverses=False,
            distributed_precon_apply=False,
            layer_tag_to_block_ctor={"generic": given_squares(self.squares)},
        )
        self.state = None

    def step(self, gradient, data):
        """The gradient preconditioned with the curvature of these and all earlier walkers."""
        arguments = (self.params, KEY, data)
        if self.state is None:
            self.state = self.peer.init(arguments, KEY)
        scores = jax.vmap(lambda x: jax.grad(self.log_psi)(self.params, {"electrons": x}))(data)
        leaves = jax.tree.leaves(scores)
        self.squares[:] = [jnp.mean(leaves[leaf] ** 2, axis=0) / VARIANCE for leaf in self.generic]
        self.state = self.peer.maybe_update(self.state, arguments, KEY)
        result = self.peer.apply(gradient, self.state)
        self.state = self.peer.increment_count(self.state)
        return result
