"""Finds the dense layers of a wavefunction and taps their activations and cotangents.

A layer is a weight matrix that enters a program only in products ``x @ w``. The gradient of one walker with respect to
it is ``sum_r x_r (outer) d_r`` over the rows r (electrons, pairs) that share the weights, with d the cotangent of the
product: kept as (x, d), the gradient never has to be formed. Products of one shape that are only added up have the
same d, as those of a layer's several inputs do. The layers are found in the traced program itself, so that a
wavefunction needs no annotation; any parameter used in another way is an explicit one.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.interpreters.partial_eval import dce_jaxpr
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
    tap: int
    """Which cotangent is its own; products that are added to each other and nothing else share one."""


@dataclass(frozen=True)
class TracedFunction:
    """``log_psi`` of one walker as a program, and which of its parameters are weights of dense layers."""

    program: ClosedJaxpr
    n_params: int
    layers: tuple[int, ...]
    """Leaves of the parameters that are used in products ``x @ w`` only."""
    uses: tuple[Use, ...]
    """The products, in the order of the program."""
    biases: Mapping[int, int]
    """For a layer whose products are all used as ``x @ w + b`` and in no other way: the leaf of b."""

    @property
    def explicit(self) -> tuple[int, ...]:
        """Leaves of the parameters that are not weights of layers."""
        return tuple(i for i in range(self.n_params) if i not in self.layers)

    @property
    def reaching(self) -> frozenset[int]:
        """Leaves of the parameters on which the outputs depend."""
        jaxpr = self.program.jaxpr
        _, used = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
        return frozenset(leaf for leaf in range(self.n_params) if used[leaf])

    def zero_taps(self, dtype: Any) -> list[Array]:
        """Taps that change nothing, (rows, outputs) each; derivatives with respect to them are the cotangents."""
        shapes = {use.tap: (use.rows, use.outputs) for use in self.uses}
        return [jnp.zeros(shapes[tap], dtype) for tap in range(len(shapes))]

    def tapped(
        self, leaves: Sequence[Array], inputs: Sequence[Array], taps: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """Outputs with ``taps`` added to the products of the layers, and the activations x of each product.

        Of products that share a tap it is added to the first."""
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
    kept = [use for use in finder.products if use.leaf not in finder.elsewhere]
    taps = {tap: number for number, tap in enumerate(dict.fromkeys(use.tap for use in kept))}
    uses = tuple(use._replace(tap=taps[use.tap]) for use in kept)
    layers = tuple(sorted({use.leaf for use in uses}))
    return TracedFunction(program, n_params, layers, uses, finder.biases(layers))


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
        self.reads: Counter[int] = Counter()
        """How many equations read each parameter."""
        self.added: list[tuple[int, int]] = []
        """Weights and bias of each ``x @ w + b``."""
        self.cotangents = itertools.count()
        """A number for each cotangent."""

    def visit(self, jaxpr: Jaxpr, labels: Sequence[int | None]) -> None:
        known = {var: label for var, label in zip(jaxpr.invars, labels, strict=True) if label is not None}

        def label_of(atom: Any) -> int | None:
            return None if isinstance(atom, Literal) else known.get(atom)

        sums = _Sums(jaxpr, known, self.cotangents)
        for eqn in jaxpr.eqns:
            used = [label_of(atom) for atom in eqn.invars]
            if eqn.primitive.name in CALLS and any(u is not None for u in used):
                self.visit(_called(eqn).jaxpr, used)
                continue
            self.reads.update(u for u in used if u is not None)
            self.added += sums.visit(eqn, used)
            if _is_product(eqn, used):
                product: Any = eqn.outvars[0].aval
                *shape, outputs = product.shape
                tap = sums.cotangent(eqn.outvars[0])
                self.products.append(Use(used[1], math.prod(shape), outputs, tap))  # type: ignore[arg-type]
                self.elsewhere |= {u for u in used[:1] if u is not None}
            else:
                self.elsewhere |= {u for u in used if u is not None}
        self.elsewhere |= {u for u in map(label_of, jaxpr.outvars) if u is not None}

    def biases(self, layers: Sequence[int]) -> dict[int, int]:
        """The bias of each layer that has one."""
        found = {}
        for weights, bias in set(self.added):
            times = self.added.count((weights, bias))
            if weights in layers and times == self.reads[bias] == self.reads[weights]:
                found[weights] = bias
        return found


class _Sums:
    """Finds sums of a product and a bias, and of products, in one program, each of them used there only."""

    def __init__(self, jaxpr: Jaxpr, known: Mapping[Any, int], numbers: Iterator[int]) -> None:
        atoms = [atom for eqn in jaxpr.eqns for atom in eqn.invars] + list(jaxpr.outvars)
        self.reads = Counter(atom for atom in atoms if not isinstance(atom, Literal))
        self.products: dict[Any, int] = {}
        self.biases: dict[Any, int] = {var: leaf for var, leaf in known.items() if var.aval.ndim == 1}
        self.numbers: defaultdict[Any, int] = defaultdict(lambda: next(numbers))
        self.sum_of: dict[Any, Any] = {}
        """The sum that is all that is done with a term; both have the same cotangent."""
        for eqn in reversed(jaxpr.eqns):
            if eqn.primitive.name == "add":
                (whole,) = eqn.outvars
                terms = [atom for atom in eqn.invars if self._is_only_added(atom, whole)]
                self.sum_of |= dict.fromkeys(terms, self.sum_of.get(whole, whole))

    def _is_only_added(self, atom: Any, whole: Any) -> bool:
        """Whether a term of a sum is read nowhere else, and not stretched along axes of length 1."""
        return not isinstance(atom, Literal) and self.reads[atom] == 1 and atom.aval.shape == whole.aval.shape

    def cotangent(self, var: Any) -> int:
        """Number of the cotangent of a value."""
        return self.numbers[self.sum_of.get(var, var)]

    def visit(self, eqn: Any, used: Sequence[int | None]) -> list[tuple[int, int]]:
        """Weights and bias if this equation is such a sum."""
        if _is_product(eqn, used) and self.reads[eqn.outvars[0]] == 1:
            self.products[eqn.outvars[0]] = used[1]  # type: ignore[assignment]
        elif eqn.primitive.name in ("broadcast_in_dim", "reshape"):
            (var, *_), (result,) = eqn.invars, eqn.outvars
            is_bias = not isinstance(var, Literal) and var in self.biases
            if is_bias and _keeps_last_axis(eqn) and self.reads[result] == 1:
                self.biases[result] = self.biases[var]
        elif eqn.primitive.name == "add" and not any(isinstance(atom, Literal) for atom in eqn.invars):
            for one, other in (eqn.invars, eqn.invars[::-1]):
                if one in self.products and other in self.biases and one.aval.shape[-1] == other.aval.shape[-1]:
                    return [(self.products[one], self.biases[other])]
        return []


def _keeps_last_axis(eqn: Any) -> bool:
    """Whether the only long axis of what is broadcast remains the last one."""
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    dimensions = eqn.params.get("broadcast_dimensions")
    is_last = dimensions is None or dimensions[-1] == len(after) - 1
    return is_last and before[-1] == after[-1] and (dimensions is not None or math.prod(before) == before[-1])


class _TappedRun:
    """Evaluates a program equation by equation, adding a tap to each product of a layer."""

    def __init__(self, function: TracedFunction, taps: list[Array]) -> None:
        self.uses = function.uses
        self.taps = taps
        self.added: set[int] = set()
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
                    tap = self.uses[len(self.activations)].tap
                    if tap not in self.added:
                        outputs = [outputs[0] + self.taps[tap].reshape(outputs[0].shape)]
                        self.added.add(tap)
                    self.activations.append(inputs[0])
            env.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]


def _called(eqn: Any) -> ClosedJaxpr:
    inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
    return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
