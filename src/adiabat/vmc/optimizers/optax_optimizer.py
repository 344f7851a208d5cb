"""The form in which optimizers of Optax serve here: settings of their own, parameters real or complex."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, ClassVar

import jax

from adiabat.config import Setting, check_settings, settings_of
from adiabat.engine.schedules import at, check_schedules
from adiabat.vmc.scores.real_parameters import as_given, as_real

PyTree = Any


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

    def arguments(self) -> dict[str, Any]:
        """What the function in Optax is given."""
        return {setting.name: _argument(setting, getattr(self, setting.name)) for setting in settings_of(type(self))}

    def init(self, params: PyTree, **kwargs: Any) -> Any:
        """State before the first update."""
        del kwargs
        return self._transformation().init(as_real(params))

    def update(self, grads: PyTree, state: Any, params: PyTree, **kwargs: Any) -> tuple[PyTree, Any]:
        """Update to add to the parameters. Against the gradient of a complex one, as given here, it goes downhill."""
        del kwargs
        updates, state = self._transformation().update(as_real(grads), state, as_real(params))
        return jax.tree.map(lambda u, p: u.astype(p.dtype), as_given(updates, params), params), state

    def _transformation(self) -> Any:
        import optax

        return attrgetter(self.optax_name)(optax)(**self.arguments())


def _argument(setting: Setting, value: Any) -> Any:
    """A schedule is what can be called. The learning rate always can be, so that the state of the optimizer has the
    same form with a number and with a schedule, and a run may go on with the other.
    """
    always = setting.name == "learning_rate" and value is not None
    if setting.info.kind == "schedules" and (always or callable(value)):
        return lambda step: at(value, step)
    return value
