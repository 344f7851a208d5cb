"""Finds the dense layers of a wavefunction and taps their activations and cotangents.

A layer is a weight matrix that enters a program only in products ``x @ w``. The gradient of one walker with respect to
it is ``sum_r x_r (outer) d_r`` over the rows r (electrons, pairs) that share the weights, with d the cotangent of the
product: kept as (x, d), the gradient never has to be formed. The layers are found in the traced program itself, so
that a wavefunction needs no annotation; any parameter used in another way is an explicit one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import Array

PyTree = Any
CALLS = ("pjit", "jit", "closed_call", "core_call")
"""Primitives that only call a program within the program."""


class Use(NamedTuple):
    """A product ``x @ w`` with a weight matrix."""

    leaf: int
    rows: int
    """Rows of x, which share the weights."""
    outputs: int


@dataclass(frozen=True)
class TracedFunction:
    """``log_psi`` of one walker as a program, and which of its parameters are weights of dense layers."""

    program: ClosedJaxpr
    n_params: int
    layers: tuple[int, ...]
    """Leaves of the parameters that are used in products ``x @ w`` only."""
    uses: tuple[Use, ...]
    """The products, in the order of the program."""

    @property
    def explicit(self) -> tuple[int, ...]:
        """Leaves of the parameters that are not weights of layers."""
        return tuple(i for i in range(self.n_params) if i not in self.layers)

    def zero_taps(self, dtype: Any) -> list[Array]:
        """Taps that change nothing, (rows, outputs) each; derivatives with respect to them are the cotangents."""
        return [jnp.zeros((use.rows, use.outputs), dtype) for use in self.uses]

    def tapped(
        self, leaves: Sequence[Array], inputs: Sequence[Array], taps: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """Outputs with ``taps`` added to the products of the layers, and the activations x of each product."""
        run = _TappedRun(self, list(taps))
        labels = [i if i in self.layers else None for i in range(self.n_params)] + [None] * len(inputs)
        outputs = run.evaluate(self.program.jaxpr, self.program.consts, [*leaves, *inputs], labels)
        return outputs, run.activations


def trace(function: Callable[..., PyTree], params: PyTree, walker: PyTree) -> TracedFunction:
    """Trace ``function(params, walker)`` and classify its parameters."""
    program = jax.make_jaxpr(function)(params, walker)
    n_params = len(jax.tree.leaves(params))
    finder = _Finder()
    finder.visit(program.jaxpr, [*range(n_params)] + [None] * (len(program.jaxpr.invars) - n_params))
    uses = tuple(use for use in finder.products if use.leaf not in finder.elsewhere)
    return TracedFunction(program, n_params, tuple(sorted({use.leaf for use in uses})), uses)


def _is_product(eqn: Any, used: Sequence[int | None]) -> bool:
    """Whether an equation is ``x @ w`` with a labelled matrix w on the right."""
    if eqn.primitive.name != "dot_general" or used[1] is None:
        return False
    (left_contract, right_contract), (left_batch, right_batch) = eqn.params["dimension_numbers"]
    x, w = (v.aval for v in eqn.invars)
    return (
        not left_batch
        and not right_batch
        and w.ndim == 2
        and tuple(right_contract) == (0,)
        and tuple(left_contract) == (x.ndim - 1,)
    )


class _Finder:
    """Collects where each parameter is used."""

    def __init__(self) -> None:
        self.products: list[Use] = []
        self.elsewhere: set[int] = set()

    def visit(self, jaxpr: Jaxpr, labels: Sequence[int | None]) -> None:
        known = {var: label for var, label in zip(jaxpr.invars, labels, strict=True) if label is not None}

        def label_of(atom: Any) -> int | None:
            return None if isinstance(atom, Literal) else known.get(atom)

        for eqn in jaxpr.eqns:
            used = [label_of(atom) for atom in eqn.invars]
            if eqn.primitive.name in CALLS and any(u is not None for u in used):
                self.visit(_called(eqn).jaxpr, used)
            elif _is_product(eqn, used):
                product: Any = eqn.outvars[0].aval
                *shape, outputs = product.shape
                self.products.append(Use(used[1], math.prod(shape), outputs))  # type: ignore[arg-type]
                self.elsewhere |= {u for u in used[:1] if u is not None}
            else:
                self.elsewhere |= {u for u in used if u is not None}
        self.elsewhere |= {u for u in map(label_of, jaxpr.outvars) if u is not None}


class _TappedRun:
    """Evaluates a program equation by equation, adding a tap to each product of a layer."""

    def __init__(self, function: TracedFunction, taps: list[Array]) -> None:
        self.layers = set(function.layers)
        self.taps = taps
        self.activations: list[Array] = []

    def evaluate(
        self, jaxpr: Jaxpr, consts: Sequence[Any], values: Sequence[Any], labels: Sequence[int | None]
    ) -> list[Any]:
        env: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *values], strict=True))
        known = {var: label for var, label in zip(jaxpr.invars, labels, strict=True) if label is not None}

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else env[atom]

        def label_of(atom: Any) -> int | None:
            return None if isinstance(atom, Literal) else known.get(atom)

        for eqn in jaxpr.eqns:
            inputs = [read(atom) for atom in eqn.invars]
            used = [label_of(atom) for atom in eqn.invars]
            if eqn.primitive.name in CALLS and any(u is not None for u in used):
                called = _called(eqn)
                outputs = self.evaluate(called.jaxpr, called.consts, inputs, used)
            else:
                bound = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params(eqn.params))
                outputs = list(bound) if eqn.primitive.multiple_results else [bound]
                if _is_product(eqn, used):
                    outputs = [outputs[0] + self.taps[len(self.activations)].reshape(outputs[0].shape)]
                    self.activations.append(inputs[0])
            env.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]


def _called(eqn: Any) -> ClosedJaxpr:
    inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
    return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
