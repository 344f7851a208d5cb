"""The loop every simulation runs on. It knows no physics."""

from adiabat.engine.callbacks import (
    AbstractCallback,
    Hook,
    HookStageEnum,
    MetricRow,
    Rows,
    StopRun,
    WritingCallback,
    checked_frequency,
)
from adiabat.engine.checkpoint import CheckpointDamaged, Checkpoints
from adiabat.engine.driver import Driver
from adiabat.engine.fused import FusedStage
from adiabat.engine.in_flight import Finished, InFlight, Outlet, Source
from adiabat.engine.job import Job
from adiabat.engine.ledger import Ledger, Outcome
from adiabat.engine.memory import MemoryUse
from adiabat.engine.recording import MetricsRecorder
from adiabat.engine.resume import CheckpointMisfit, surroundings
from adiabat.engine.signals import SignalHandler
from adiabat.engine.stage import Convergence, Stage
from adiabat.engine.state import VACANT, Clock, State, over_systems

__all__ = [
    "VACANT",
    "AbstractCallback",
    "CheckpointDamaged",
    "CheckpointMisfit",
    "Checkpoints",
    "Clock",
    "Convergence",
    "Driver",
    "Finished",
    "FusedStage",
    "Hook",
    "HookStageEnum",
    "InFlight",
    "Job",
    "Ledger",
    "MemoryUse",
    "MetricRow",
    "MetricsRecorder",
    "Outcome",
    "Outlet",
    "Rows",
    "SignalHandler",
    "Source",
    "Stage",
    "State",
    "StopRun",
    "WritingCallback",
    "checked_frequency",
    "over_systems",
    "surroundings",
]
