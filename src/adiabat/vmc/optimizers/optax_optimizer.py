"""The form in which optimizers of Optax serve here: settings of their own, parameters real or complex."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from adiabat.config import check_settings, settings_of
from adiabat.engine.schedules import at, check_schedules
from adiabat.vmc.scores.real_parameters import as_given, as_real

PyTree = Any


class OptaxState(NamedTuple):
    """State of an optimizer of Optax, and the step for its schedules."""

    step: Int[Array, ""]
    inner: Any


class OptaxOptimizer:
    """Base of the dataclasses whose settings are the parameters of an optimizer of Optax.

    A complex parameter counts as two real ones, its real and its imaginary part, in one array. Left to themselves, some
    optimizers of Optax take ``|g|^2`` where they square a gradient, some ``g^2``, and some fail.
    """

    optax_name: ClassVar[str]
    """Of the function in Optax that makes it."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_schedules(self)

    def arguments(self, step: Int[Array, ""]) -> dict[str, Any]:
        """What the function in Optax is given at a step: schedules have become numbers, so that the state has the same
        form with either, and a run may go on with the other."""
        values = {setting.name: getattr(self, setting.name) for setting in settings_of(type(self))}
        scheduled = {s.name for s in settings_of(type(self)) if s.info.kind == "schedules" and callable(values[s.name])}
        return {name: at(value, step) if name in scheduled else value for name, value in values.items()}

    def init(self, params: PyTree, **kwargs: Any) -> OptaxState:
        """State before the first update."""
        del kwargs
        step = jnp.zeros((), jnp.int32)
        return OptaxState(step, self._transformation(step).init(as_real(params)))

    def update(self, grads: PyTree, state: OptaxState, params: PyTree, **kwargs: Any) -> tuple[PyTree, OptaxState]:
        """Update to add to the parameters. Against the gradient of a complex one, as given here, it goes downhill."""
        del kwargs
        step, inner = state
        updates, inner = self._transformation(step).update(as_real(grads), inner, as_real(params))
        updates = jax.tree.map(lambda u, p: u.astype(p.dtype), as_given(updates, params), params)
        return updates, OptaxState(step + 1, inner)

    def _transformation(self, step: Int[Array, ""]) -> Any:
        import optax

        return attrgetter(self.optax_name)(optax)(**self.arguments(step))
