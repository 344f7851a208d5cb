"""Optimizers: how the parameters follow the energy downhill."""

from adiabat.vmc.optimizers.adam import AdamOptimizer
from adiabat.vmc.optimizers.schedules import Constant, Cosine, Piecewise, Schedule, Standard, WarmUp
from adiabat.vmc.optimizers.sr import SROptimizer

__all__ = [
    "AdamOptimizer",
    "Constant",
    "Cosine",
    "Piecewise",
    "SROptimizer",
    "Schedule",
    "Standard",
    "WarmUp",
]
