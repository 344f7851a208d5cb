"""What the work stages ask of the things they are given; checked when given, with the missing member named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array

Walker = Mapping[str, Array]
"""The fields of one walker, such as {"electrons": (n, 3)}; of all walkers with a leading axis."""


@runtime_checkable
class WavefunctionLike(Protocol):
    """A wavefunction: parameters from a key, and the logarithm of its value at one walker."""

    def init(self, key: Any) -> Any:
        """Parameters, a pytree of arrays."""

    def log_psi(self, params: Any, x: Array) -> Any:
        """``(log|psi|, phase)`` of a real wavefunction, or one complex logarithm."""


@runtime_checkable
class NumericWavefunctionEvaluate(Protocol):
    """A number from the parameters and one walker."""

    def __call__(self, params: Any, walker: Walker) -> Array:
        """Its value."""


@runtime_checkable
class EstimatorLike(Protocol):
    """An observable of one walker; it may read the results of earlier estimators."""

    def evaluate(self, params: Any, walker: Walker, previous: Mapping[str, Array]) -> Array:
        """Its value."""


@runtime_checkable
class SamplerLike(Protocol):
    """Moves walkers so that they follow exp(2 log_amplitude)."""

    walkers: int
    steps: int
    moves: str

    def init(self) -> Any:
        """State of the sampler before the first move."""

    def propose(self, key: Array, x: Array, width: Array) -> tuple[Array, Array]:
        """A proposal for all walkers and the logarithm of its Hastings correction."""

    def adapt(self, state: Any, acceptance: Array) -> Any:
        """The state after a move of which this fraction was accepted."""


@runtime_checkable
class OptimizerLike(Protocol):
    """Turns gradients into updates of the parameters.

    It may have more: ``needs_gradient = False`` where it takes the residuals of the energies instead of a gradient;
    ``check_walkers(count)``, which refuses what cannot be done with so many, before anything is computed;
    ``remarks(params, walkers)``, sentences for the log; and in its state ``diagnostics``, numbers for the row of a
    step, and ``checked``, the part of the state in which alone a number that is not finite could hide.
    """

    def init(self, params: Any, **kwargs: Any) -> Any:
        """State before the first update."""

    def update(self, grads: Any, state: Any, params: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Updates to be added to the parameters, and the new state."""


@runtime_checkable
class ConfigManagerLike(Protocol):
    """The configuration as builders read it."""

    def scoped(self, name: str) -> ConfigManagerLike:
        """The part below a name."""

    def get(self, name: str, what: Any) -> Any:
        """A dataclass filled from this scope."""

    def get_module(self, name: str, default: Any, *, family: str | None = None, **wired: Any) -> Any:
        """An object of a kind that is chosen by name."""

    def finalize(self) -> None:
        """Refuse what nobody has read."""


def require(obj: Any, protocol: type, what: str) -> None:
    """Raise a TypeError naming what ``obj`` lacks to be a ``protocol``."""
    members = [name for name in vars(protocol) if not name.startswith("_") and callable(vars(protocol)[name])]
    missing = [name for name in getattr(protocol, "__annotations__", {}) if not hasattr(obj, name)]
    missing += [name for name in members if not callable(getattr(obj, name, None))]
    if missing or isinstance(obj, type):
        lacks = f"it has no {' and no '.join(f'`{name}`' for name in missing)}" if missing else "it is a class"
        raise TypeError(f"{what} is {obj!r}, which is no {protocol.__name__}: {lacks}")
