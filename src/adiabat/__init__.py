"""Quantum and classical many-body simulation on one engine.

>>> import adiabat
>>> result = adiabat.energy("LiH")        # doctest: +SKIP
>>> result.energy, result.error           # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adiabat.runs import energy, evaluate, load

__version__ = "0.1.0"
__all__ = ["__version__", "energy", "evaluate", "load"]


def __getattr__(name: str) -> Any:
    # Imported when first used: `adiabat --help` answers without loading JAX.
    if name in ("energy", "evaluate", "load"):
        return getattr(import_module("adiabat.runs"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
