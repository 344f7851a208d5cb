"""Optimizers: how the parameters follow the energy downhill."""

from adiabat.vmc.optimizers.adam import AdamOptimizer
from adiabat.vmc.optimizers.schedules import Schedule, Standard
from adiabat.vmc.optimizers.sr import SROptimizer

__all__ = ["AdamOptimizer", "SROptimizer", "Schedule", "Standard"]
