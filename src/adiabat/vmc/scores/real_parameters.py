"""Complex parameters as pairs of real ones, so that every optimizer has to know real parameters only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

PyTree = Any


def as_real(params: PyTree) -> PyTree:
    """The parameters with each complex array as a real one, (2, ...): real parts, then imaginary ones."""
    return jax.tree.map(lambda p: jnp.stack([p.real, p.imag]) if jnp.iscomplexobj(p) else p, params)


def as_given(real: PyTree, like: PyTree) -> PyTree:
    """What `as_real` made of parameters ``like`` these."""
    return jax.tree.map(lambda r, p: jax.lax.complex(r[0], r[1]) if jnp.iscomplexobj(p) else r, real, like)


def of_real(log_psi: Callable[..., Array], like: PyTree) -> Callable[..., Array]:
    """``log_psi`` as a function of real parameters."""
    if not any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(like)):
        return log_psi
    return lambda real, walker: log_psi(as_given(real, like), walker)
