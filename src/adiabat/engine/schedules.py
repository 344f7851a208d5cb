"""Scalars that change from step to step: callables of the step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from numbers import Real
from typing import Any, overload

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from adiabat.config import allows_none, check_settings, literal_words, members, setting, settings_of
from adiabat.errors import InputError

Schedule = float | Callable[[Any], Array]
"""A number, or a function of the step that returns one. One that knows its ``extremes`` is checked like numbers."""
LATE = 1e9
"""A step by which every schedule has come to its end."""


@dataclass(frozen=True)
class Standard:
    """``rate * (1 / (1 + step / delay)) ** decay``."""

    rate: float = setting(0.05, above=0, help="value at step 0")
    delay: float = setting(2000.0, above=0, help="steps after which it has fallen by 2 ** decay")
    decay: float = setting(1.0, min=0, help="exponent of the decay; 0 keeps the rate")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def extremes(self) -> tuple[float, ...]:
        """The highest and the lowest of its values."""
        return self.rate, self.rate * (1 / (1 + LATE / self.delay)) ** self.decay

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """Value at a step."""
        time = jnp.asarray(step, jnp.float32)
        return jnp.asarray(self.rate, jnp.float32) * (1 / (1 + time / self.delay)) ** self.decay


@dataclass(frozen=True)
class Constant:
    """``rate`` at every step."""

    rate: float = setting(above=0, help="value at every step")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def extremes(self) -> tuple[float, ...]:
        """Its value."""
        return (self.rate,)

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """Value at a step."""
        del step
        return jnp.asarray(self.rate, jnp.float32)


@dataclass(frozen=True)
class Linear:
    """A line from ``rate`` to ``final`` over ``steps`` steps, then ``final``: a ramp."""

    rate: float = setting(min=0, help="value at step 0")
    final: float = setting(min=0, help="value after the last of the steps")
    steps: int = setting(min=1, help="steps until it is final")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def extremes(self) -> tuple[float, ...]:
        """The first and the last of its values."""
        return self.rate, self.final

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """Value at a step."""
        done = jnp.clip(jnp.asarray(step, jnp.float32) / self.steps, 0.0, 1.0)
        return self.rate + (self.final - self.rate) * done


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from ``rate`` to ``final`` over ``steps`` steps, then ``final``.

    Loshchilov and Hutter, ICLR 2017 (arXiv:1608.03983), without restarts.
    """

    rate: float = setting(above=0, help="value at step 0")
    steps: int = setting(min=1, help="steps until it has fallen to final")
    final: float = setting(0.0, min=0, help="value after that")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def extremes(self) -> tuple[float, ...]:
        """The first and the last of its values."""
        return self.rate, self.final

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """Value at a step."""
        done = jnp.clip(jnp.asarray(step, jnp.float32) / self.steps, 0.0, 1.0)
        return self.final + 0.5 * (self.rate - self.final) * (1 + jnp.cos(jnp.pi * done))


@dataclass(frozen=True)
class WarmUp:
    """A line from 0 to the beginning of another schedule, and then that schedule."""

    steps: int = setting(min=1, help="steps until the other schedule begins")
    then: Schedule = setting(factory=Standard, kind="schedules", help="schedule that follows, or a number")

    def __post_init__(self) -> None:
        check_settings(self)
        check_schedules(self)

    @property
    def extremes(self) -> tuple[float, ...]:
        """0 and those of the schedule that follows, as far as they are known."""
        return 0.0, *(getattr(self.then, "extremes", ()) if callable(self.then) else (self.then,))

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """Value at a step."""
        done = jnp.clip(jnp.asarray(step, jnp.float32) / self.steps, 0.0, 1.0)
        return done * at(self.then, jnp.maximum(jnp.asarray(step) - self.steps, 0))


@dataclass(frozen=True)
class Piecewise:
    """``rates[k]`` from step ``steps[k - 1]`` on, ``rates[0]`` before the first of them.

    Raises
    ------
    InputError
        Unless there is one rate more than steps, and the steps ascend.
    """

    rates: tuple[float, ...] = setting(above=0, help="values, one more than there are steps")
    steps: tuple[int, ...] = setting(min=1, help="steps at which the next value begins, ascending")

    def __post_init__(self) -> None:
        check_settings(self)
        if len(self.rates) != len(self.steps) + 1 or list(self.steps) != sorted(set(self.steps)):
            raise InputError(
                f"Piecewise: {len(self.rates)} rates {list(self.rates)} and steps {list(self.steps)}; expected "
                "one rate more than steps, and steps that ascend"
            )

    @property
    def extremes(self) -> tuple[float, ...]:
        """Its values."""
        return self.rates

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """Value at a step."""
        passed = jnp.searchsorted(jnp.asarray(self.steps, jnp.int32), jnp.asarray(step), side="right")
        return jnp.asarray(self.rates, jnp.float32)[passed]


@overload
def at(schedule: Schedule, step: Int[Array, ""] | int, dtype: Any = ...) -> Float[Array, ""]: ...
@overload
def at(schedule: None, step: Int[Array, ""] | int, dtype: Any = ...) -> None: ...
@overload
def at(schedule: Schedule | None, step: Int[Array, ""] | int, dtype: Any = ...) -> Float[Array, ""] | None: ...


def at(schedule: Schedule | None, step: Int[Array, ""] | int, dtype: Any = jnp.float32) -> Float[Array, ""] | None:
    """Value of a number or schedule at a step, None of None. Schedules are in float32 themselves."""
    if schedule is None:
        return None
    return jnp.asarray(schedule(step) if callable(schedule) else schedule, dtype)


def check_schedules(settings: Any) -> None:
    """Refuse what is neither number nor schedule in settings for such, and schedules that leave the range for numbers.

    Raises
    ------
    InputError
        Naming the setting.
    """
    for field in settings_of(type(settings)):
        value = getattr(settings, field.name)
        if field.info.kind != "schedules" or (value is None and allows_none(field.type)):
            continue
        where = f"{type(settings).__name__}.{field.name}"
        if not _is_schedule(value, field.type):
            given = repr(value) if value is None or isinstance(value, (str, type)) else type(value).__name__
            raise InputError(f"{where}: expected a number or a schedule, got {given}, which is neither")
        for extreme in getattr(value, "extremes", ()):
            if not field.info.allows(extreme):
                raise InputError(
                    f"{where}: expected a schedule of numbers {field.info.range}, but this one comes to {extreme:g}"
                )


def _is_schedule(value: Any, type_: Any) -> bool:
    """Whether a value is a number, a function of the step, or what else the type of a setting allows."""
    if isinstance(value, (str, type)):
        return value in literal_words(type_)
    others = tuple(member for member in members(type_) if isinstance(member, type) and is_dataclass(member))
    return isinstance(value, (Real, *others)) or callable(value)
