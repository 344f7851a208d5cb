"""Quantum and classical many-body simulation on one engine.

>>> import adiabat
>>> result = adiabat.energy("LiH")        # doctest: +SKIP
>>> result.energy, result.error           # doctest: +SKIP
>>> result = adiabat.relax("structures.extxyz", "lennard-jones")        # doctest: +SKIP
>>> result.energies, result.outcomes                                    # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from adiabat.lazy import lazily

if TYPE_CHECKING:
    from adiabat.runs import energy, evaluate, load, md, relax

__version__ = "0.1.0"
__all__ = ["__version__", "energy", "evaluate", "load", "md", "relax"]

# `adiabat --help` answers without loading JAX.
__getattr__ = lazily(__name__, {"adiabat.runs": ("energy", "evaluate", "load", "md", "relax")})
