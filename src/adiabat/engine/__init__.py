"""The loop every simulation runs on. It knows no physics."""

from adiabat.engine.callbacks import AbstractCallback, Hook, HookStageEnum, StopRun
from adiabat.engine.checkpoint import CheckpointDamaged, Checkpoints
from adiabat.engine.driver import Driver
from adiabat.engine.fused import FusedStage
from adiabat.engine.recording import MetricsRecorder
from adiabat.engine.resume import CheckpointMisfit, surroundings
from adiabat.engine.signals import SignalHandler
from adiabat.engine.stage import Convergence, Stage
from adiabat.engine.state import Clock, State, over_systems

__all__ = [
    "AbstractCallback",
    "CheckpointDamaged",
    "CheckpointMisfit",
    "Checkpoints",
    "Clock",
    "Convergence",
    "Driver",
    "FusedStage",
    "Hook",
    "HookStageEnum",
    "MetricsRecorder",
    "SignalHandler",
    "Stage",
    "State",
    "StopRun",
    "over_systems",
    "surroundings",
]
