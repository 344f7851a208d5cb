"""Optimizers: how the parameters follow the energy downhill."""

from adiabat.engine.schedules import Constant, Cosine, Linear, Piecewise, Schedule, Standard, WarmUp
from adiabat.vmc.optimizers.auto_damping import AutoDamping
from adiabat.vmc.optimizers.first_order import AdamOptimizer, LambOptimizer
from adiabat.vmc.optimizers.kfac import KFACOptimizer
from adiabat.vmc.optimizers.optax_by_name import optax_optimizer
from adiabat.vmc.optimizers.sr import SROptimizer

__all__ = [
    "AdamOptimizer",
    "AutoDamping",
    "Constant",
    "Cosine",
    "KFACOptimizer",
    "LambOptimizer",
    "Linear",
    "Piecewise",
    "SROptimizer",
    "Schedule",
    "Standard",
    "WarmUp",
    "optax_optimizer",
]
