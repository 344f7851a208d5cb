"""Optimizers: how the parameters follow the energy downhill."""

from adiabat.vmc.optimizers.adam import AdamOptimizer
from adiabat.vmc.optimizers.auto_damping import AutoDamping
from adiabat.vmc.optimizers.kfac import KFACOptimizer
from adiabat.vmc.optimizers.schedules import Constant, Cosine, Piecewise, Schedule, Standard, WarmUp
from adiabat.vmc.optimizers.sr import SROptimizer

__all__ = [
    "AdamOptimizer",
    "AutoDamping",
    "Constant",
    "Cosine",
    "KFACOptimizer",
    "Piecewise",
    "SROptimizer",
    "Schedule",
    "Standard",
    "WarmUp",
]
