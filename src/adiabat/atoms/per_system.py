"""Settings that may differ from system to system and from step to step: temperatures, time steps, pressures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from adiabat.atoms.batch import Batch
from adiabat.config import check_settings, members, setting, settings_of
from adiabat.errors import InputError

PerSystem: TypeAlias = float | Sequence[float] | Callable[[Any], Any]
"""A number; one number for each system of the data set, in its order; or a schedule, a function of a system's own step
in its present stage."""

varying = partial(setting, kind="schedules")
"""A setting of that type."""

_EXPECTED = "expected a number, one number for each system, or a function of the step"


def per_system(value: Any, batch: Batch) -> Float[Array, " S"]:
    """The value of a setting for each system of a batch, at its present step.

    A sequence that is too short for the data set gives NaN for the systems it forgets (`check_lengths` says so before
    any step is made); an empty slot gets the value of some system.

    Raises
    ------
    InputError
        If the value is none of those a `PerSystem` may be, or a schedule gives no number.
    """
    value = as_per_system(value)
    if callable(value):
        return _scheduled(value, batch)
    numbers = jnp.asarray(value, jnp.float64)
    if numbers.ndim == 0:
        return jnp.full((batch.n_systems,), numbers)
    return numbers.at[jnp.maximum(jnp.asarray(batch.system_id), 0)].get(mode="fill", fill_value=jnp.nan)


def _scheduled(schedule: Callable[[Any], Any], batch: Batch) -> Float[Array, " S"]:
    def at(step: Int[Array, ""]) -> Array:
        number = jnp.asarray(schedule(step), jnp.float64)
        if number.shape:
            raise InputError(f"the schedule {schedule!r} gave an array of shape {number.shape}; expected one number")
        return number

    try:
        return jax.vmap(at)(jnp.asarray(batch.stage_age))
    except jax.errors.ConcretizationTypeError as error:
        raise InputError(
            f"the schedule {schedule!r} asks in Python what the step is, which is known only while a program runs; "
            "write it with jax.numpy, jnp.where instead of if"
        ) from error


def as_per_system(value: Any) -> PerSystem:
    """A value in the form that settings keep it: a float, a tuple of floats, a function.

    Raises
    ------
    InputError
        If it is no such thing, or not finite.
    """
    if callable(value):
        return value
    if isinstance(value, (str, bytes, bool)) or value is None:
        raise InputError(f"got {value!r}; {_EXPECTED}")
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"got {value!r}; {_EXPECTED}") from error
    if numbers.ndim > 1 or numbers.size == 0 or not np.all(np.isfinite(numbers)):
        raise InputError(f"got {value!r}; {_EXPECTED}, all of them finite")
    return tuple(numbers.tolist()) if numbers.ndim else float(numbers)


def normalize(settings: Any) -> None:
    """Bring all per-system settings of a dataclass into one form and check the ranges of all settings.

    For use in ``__post_init__``.

    Raises
    ------
    InputError
        Naming the class and the setting.
    """
    for name in _names(settings):
        try:
            object.__setattr__(settings, name, as_per_system(getattr(settings, name)))
        except InputError as error:
            raise InputError(f"{type(settings).__name__}.{name}: {error}") from error
    check_settings(settings)


def check_lengths(settings: Any, n_systems: int, *, or_more: bool = False) -> None:
    """Check that settings with one number for each system have as many as there are systems in the data set; with
    `or_more`, where only some of them are known, no fewer.

    Raises
    ------
    InputError
        Naming the class, the setting and both numbers.
    """
    for name in _names(settings):
        value = getattr(settings, name)
        if isinstance(value, tuple) and (len(value) < n_systems or (len(value) > n_systems and not or_more)):
            raise InputError(
                f"{type(settings).__name__}.{name}: got {len(value)} numbers for {n_systems} systems; {_EXPECTED}"
            )
    for part in vars(settings).values():
        if is_dataclass(part) and not isinstance(part, type):
            check_lengths(part, n_systems, or_more=or_more)


def _names(settings: Any) -> list[str]:
    """The settings that may be per system, and are given."""
    kinds = set(members(PerSystem))
    return [
        field.name
        for field in settings_of(type(settings))
        if kinds <= set(members(field.type)) and getattr(settings, field.name) is not None
    ]
