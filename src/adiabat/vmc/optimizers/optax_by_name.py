"""Every optimizer of Optax by its name there, with the settings its signature tells."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_origin

import jax
import jax.numpy as jnp

from adiabat.config import Setting, did_you_mean, members, setting, settings_of
from adiabat.engine.schedules import Schedule
from adiabat.errors import InputError
from adiabat.vmc.optimizers.first_order import FloatType
from adiabat.vmc.optimizers.optax_optimizer import OptaxOptimizer

Function = Callable[..., Any]
_PLAIN = (bool, int, str, type(None))


@functools.cache
def optax_optimizer(name: str) -> type[OptaxOptimizer]:
    """The class of `optax:<name>`, a dataclass with the parameters of the function ``optax.<name>`` as settings.

    What only a Python object can fill is left to Optax, unless it must be given or None leaves it out.

    Raises
    ------
    InputError
        If Optax has nothing of that name, or it is no optimizer.
    """
    function = _function(name)
    meanings = _meanings(inspect.getdoc(function) or "")
    fields = []
    for parameter in inspect.signature(function).parameters.values():
        described = _described(parameter)
        if described is not None:
            type_, options = described
            fields.append((parameter.name, type_, setting(help=meanings.get(parameter.name, ""), **options)))
    own = {"optax_name": name, "__doc__": inspect.getdoc(function)}
    cls = dataclasses.make_dataclass(name, fields, bases=(_NamedOptimizer,), namespace=own, frozen=True)
    cls.__module__, cls.__qualname__ = "optax", name  # so that `target_of` calls it as the user does
    return cls


class _NamedOptimizer(OptaxOptimizer):
    """Refuses when it is made what cannot take a step from a gradient alone, or not with its settings."""

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self._trace_an_update()
        except Exception as error:  # whatever Optax raises, it cannot be used
            raise InputError(_why(self.optax_name, error)) from error

    def _trace_an_update(self) -> None:
        """Follow the types through an update of a matrix and a vector; nothing is computed."""
        # A mask is made for the parameters of a certain network, not for these.
        masks = {s.name for s in settings_of(type(self)) if _takes_function(s) and s.factory}

        def update(step: Any, params: Any) -> Any:
            arguments = {name: value for name, value in self.arguments(step).items() if name not in masks}
            optimizer = _function(self.optax_name)(**arguments)
            return optimizer.update(params, optimizer.init(params), params)

        shapes = {"matrix": (3, 2), "vector": (2,)}
        with jax.enable_x64(True):
            params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
            jax.eval_shape(update, jax.ShapeDtypeStruct((), jnp.int32), params)


def _why(name: str, error: Exception) -> str:
    missing = re.search(r"missing \d+ required keyword-only arguments?: (.*)", str(error))
    if missing:
        needs = missing.group(1).replace("'", "")
        return f"optax:{name} cannot be used: an update of it needs {needs} beside the gradient, which is all there is"
    return f"optax:{name} cannot be used as it is set: {type(error).__name__}: {' '.join(str(error).split())}"


def _takes_function(one: Setting) -> bool:
    return one.info.kind is None and any(get_origin(member) is get_origin(Function) for member in members(one.type))


def _function(name: str) -> Function:
    """The function ``optax.<name>``."""
    import optax

    found: Any = optax
    for part in name.split("."):
        if part.startswith("_") or not hasattr(found, part):
            raise InputError(f"Optax has no '{name}'{did_you_mean(name, _names())}")
        found = getattr(found, part)
    if not _is_optimizer(found):
        raise InputError(f"'{name}' of Optax is no optimizer: those are functions of a learning_rate, such as adamw")
    return found


def _names() -> list[str]:
    import optax

    modules = {"": optax, "contrib.": optax.contrib}
    return [prefix + name for prefix, module in modules.items() for name in dir(module) if _is_listed(module, name)]


def _is_listed(module: Any, name: str) -> bool:
    return not name.startswith("_") and _is_optimizer(getattr(module, name))


def _is_optimizer(found: Any) -> bool:
    """Whether something of Optax makes updates, and not what optimizers are put together from."""
    if not inspect.isfunction(found) or found.__name__.startswith("scale_by_"):
        return False
    return any(name.endswith("learning_rate") for name in inspect.signature(found).parameters)


def _described(parameter: inspect.Parameter) -> tuple[Any, dict[str, Any]] | None:
    """Type and further options of the setting that a parameter is; None if it is none."""
    required, default = parameter.default is parameter.empty, parameter.default
    options: dict[str, Any] = {} if required else {"default": default}
    types = members(parameter.annotation)
    optional = default is None or type(None) in types
    if parameter.name == "learning_rate" and optional:
        # None leaves the factor out, and with it the sign: updates of adadelta would go uphill.
        options, optional = {}, False
    if "dtype" in parameter.name:
        type_: Any = FloatType
        options = options if required or default is None else {"default": jnp.dtype(default).name}
    elif parameter.name in ("key", "seed"):
        type_ = int
    elif type(default) is tuple and all(isinstance(item, float) for item in default):
        type_ = tuple[(float,) * len(default)]  # type: ignore[misc]
    elif _is_number(types):
        type_ = int
        if type(default) is not int:
            options["kind"] = "schedules"
            type_ = Schedule
        if parameter.name.endswith("learning_rate"):
            options["min"] = 0
    elif all(member in _PLAIN or get_origin(member) is Literal for member in types):
        type_ = parameter.annotation
    elif get_origin(Function) in _origins(types) and (required or default is None or isinstance(default, bool)):
        type_ = bool | Function if isinstance(default, bool) else Function
    elif required:
        type_ = parameter.annotation
    else:
        return None
    return (type_ | None if optional else type_), options


def _is_number(types: tuple[Any, ...]) -> bool:
    """Whether a number is meant, and not a tree of arrays, which may also be one."""
    return float in types and not _origins(types) & {Iterable, Mapping}


def _origins(types: tuple[Any, ...]) -> set[Any]:
    return {get_origin(member) for member in types}


def _meanings(text: str) -> dict[str, str]:
    """The first sentence about each argument of a docstring."""
    lines = re.DOTALL | re.MULTILINE
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, lines)
    found = re.findall(r"^(\w+)[^:\n]*:(.*?)(?=^\w|\Z)", textwrap.dedent(section.group(1)) if section else "", lines)
    plain = {name: re.sub(r":\w+:|`", "", " ".join(words.split())) for name, words in found}
    return {name: re.split(r"\.\s|\.$", words)[0] for name, words in plain.items()}
