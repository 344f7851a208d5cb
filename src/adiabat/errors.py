"""The errors adiabat raises on purpose, each with the exit code the command line gives for it.

The library raises these and never exits; only the command line turns them into one sentence and an exit code.
Each class is also the built-in exception a reader would expect, so `except ValueError` catches bad input.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AdiabatError",
    "InputError",
    "InputTypeError",
    "Interrupted",
    "MissingOutputError",
    "NumericalError",
    "OutputError",
]


class AdiabatError(Exception):
    """Base of all errors of adiabat. The message is one sentence: what was given, what was expected."""

    exit_code: ClassVar[int] = 1


class InputError(AdiabatError, ValueError):
    """What the user gave cannot be used: unknown name, wrong type, value out of range, absent file."""

    exit_code = 2


class InputTypeError(InputError, TypeError):
    """The user gave an object of the wrong kind, such as something that is no optimizer."""


class MissingOutputError(InputError, RuntimeError):
    """A potential does not give what is asked of it, such as the stress that a cell relaxation needs."""


class NumericalError(AdiabatError, ArithmeticError):
    """The computation broke down (non-finite energies, gradients or parameters) and retries did not help."""

    exit_code = 3


class OutputError(AdiabatError, OSError):
    """Reading or writing failed for a reason outside the program: disk full, device error."""

    exit_code = 74


class Interrupted(AdiabatError):
    """Stopped by a signal or the time limit; what was reached is saved and the same command resumes."""

    exit_code = 75
