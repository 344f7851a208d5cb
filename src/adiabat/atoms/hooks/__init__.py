"""Ready-made hooks: for a Driver's callbacks, and for the hooks of a dynamics or a FusedStage.

Those that are compiled into the step (`MaxForceClamp`, `WrapPositions`) and those that run on the host are given in the
same way. Fixed atoms need no hook, they are a part of a structure (`AtomicData.fixed`); a bias is a potential that is
added to another one (`potential + FromFunction(energy)`).
"""

from adiabat.atoms.hooks.converged_snapshot import ConvergedSnapshot
from adiabat.atoms.hooks.energy_drift_monitor import EnergyDriftMonitor
from adiabat.atoms.hooks.logging_hook import LoggingHook
from adiabat.atoms.hooks.max_force_clamp import MaxForceClamp
from adiabat.atoms.hooks.nan_quarantine import FailedSystem, NaNQuarantine
from adiabat.atoms.hooks.profiler import PhaseProfiler, Profiler
from adiabat.atoms.hooks.trajectory_writer import TrajectoryWriter, read_trajectory
from adiabat.atoms.hooks.wrap_positions import WrapPositions

__all__ = [
    "ConvergedSnapshot",
    "EnergyDriftMonitor",
    "FailedSystem",
    "LoggingHook",
    "MaxForceClamp",
    "NaNQuarantine",
    "PhaseProfiler",
    "Profiler",
    "TrajectoryWriter",
    "WrapPositions",
    "read_trajectory",
]
