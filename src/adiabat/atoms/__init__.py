"""Classical nuclei: batches of structures, potentials, and what moves them. Each name is imported when first used."""

from typing import TYPE_CHECKING

from adiabat.lazy import lazily

if TYPE_CHECKING:
    from adiabat.atoms.ase_conversion import from_ase, read_data, to_ase
    from adiabat.atoms.atomic_data import AtomicData
    from adiabat.atoms.batch import Batch
    from adiabat.atoms.convergence import ConvergenceHook
    from adiabat.atoms.dynamics import BaseDynamics
    from adiabat.atoms.fused_stage import FusedStage
    from adiabat.atoms.hooks import (
        ConvergedSnapshot,
        EnergyDriftMonitor,
        FailedSystem,
        LoggingHook,
        MaxForceClamp,
        NaNQuarantine,
        PhaseProfiler,
        Profiler,
        TrajectoryWriter,
        WrapPositions,
        read_trajectory,
    )
    from adiabat.atoms.integrators import (
        FIRE,
        FIRE2,
        NVE,
        FrechetCell,
        GradientDescent,
        NVTLangevin,
        NVTNoseHoover,
        maxwell_boltzmann,
    )
    from adiabat.atoms.potentials import (
        ASECalculator,
        CHGNet,
        FromFunction,
        Harmonic,
        LennardJones,
        Morse,
        Potential,
        SoftSphere,
        SumOfPotentials,
        TorchPotential,
    )
    from adiabat.atoms.sinks import ASESink, HDF5Sink, MemorySink
    from adiabat.atoms.size_aware_sampler import SizeAwareSampler

__all__ = [
    "FIRE",
    "FIRE2",
    "NVE",
    "ASECalculator",
    "ASESink",
    "AtomicData",
    "BaseDynamics",
    "Batch",
    "CHGNet",
    "ConvergedSnapshot",
    "ConvergenceHook",
    "EnergyDriftMonitor",
    "FailedSystem",
    "FrechetCell",
    "FromFunction",
    "FusedStage",
    "GradientDescent",
    "HDF5Sink",
    "Harmonic",
    "LennardJones",
    "LoggingHook",
    "MaxForceClamp",
    "MemorySink",
    "Morse",
    "NVTLangevin",
    "NVTNoseHoover",
    "NaNQuarantine",
    "PhaseProfiler",
    "Potential",
    "Profiler",
    "SizeAwareSampler",
    "SoftSphere",
    "SumOfPotentials",
    "TorchPotential",
    "TrajectoryWriter",
    "WrapPositions",
    "from_ase",
    "maxwell_boltzmann",
    "read_data",
    "read_trajectory",
    "to_ase",
]

_HOMES = {
    "adiabat.atoms.ase_conversion": ("from_ase", "read_data", "to_ase"),
    "adiabat.atoms.atomic_data": ("AtomicData",),
    "adiabat.atoms.batch": ("Batch",),
    "adiabat.atoms.convergence": ("ConvergenceHook",),
    "adiabat.atoms.dynamics": ("BaseDynamics",),
    "adiabat.atoms.fused_stage": ("FusedStage",),
    "adiabat.atoms.hooks": (
        "ConvergedSnapshot", "EnergyDriftMonitor", "FailedSystem", "LoggingHook", "MaxForceClamp", "NaNQuarantine",
        "PhaseProfiler", "Profiler", "TrajectoryWriter", "WrapPositions", "read_trajectory",
    ),
    "adiabat.atoms.potentials": (
        "ASECalculator", "CHGNet", "FromFunction", "Harmonic", "LennardJones", "Morse", "Potential", "SoftSphere",
        "SumOfPotentials", "TorchPotential",
    ),
    "adiabat.atoms.integrators": (
        "FIRE", "FIRE2", "FrechetCell", "GradientDescent", "NVE", "NVTLangevin", "NVTNoseHoover", "maxwell_boltzmann",
    ),
    "adiabat.atoms.sinks": ("ASESink", "HDF5Sink", "MemorySink"),
    "adiabat.atoms.size_aware_sampler": ("SizeAwareSampler",),
}  # fmt: skip

__getattr__ = lazily(__name__, _HOMES)
