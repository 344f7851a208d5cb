"""Calculators and models of other packages, as objects or as classes with their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adiabat.config import find_target, load_target
from adiabat.errors import InputError


def made(given: Any, arguments: Mapping[str, Any], where: str) -> Any:
    """The object itself; of a class, or its name as package.module:Class, what it makes of the arguments.

    Parameters
    ----------
    where : str
        Potential and setting, as ``ASECalculator.calculator``, for messages.

    Raises
    ------
    InputError
        If there is no such class, or it makes nothing of them.
    """
    if isinstance(given, str):
        given = load_target(find_target(given, None), where)
    elif not isinstance(given, type):
        return given
    try:
        return given(**arguments)
    except Exception as error:  # whatever it raises, it cannot be made like this
        raise InputError(
            f"{where.partition('.')[0]}: {given.__name__} cannot be made with the arguments "
            f"{dict(arguments)!r}: {error}"
        ) from error
