"""Work stages of variational Monte Carlo and their builders."""

from adiabat.vmc.stages.builders import EvalStageBuilder, SamplingStageBuilder, VMCStageBuilder
from adiabat.vmc.stages.config import EvaluationWorkStageConfig, VMCWorkStageConfig, WorkStageConfig
from adiabat.vmc.stages.evaluate import ErrorBelow, EvaluationWorkStage, estimates
from adiabat.vmc.stages.sampling_stage import SamplingStage
from adiabat.vmc.stages.state import SamplingState
from adiabat.vmc.stages.train import VMCWorkStage

__all__ = [
    "ErrorBelow",
    "EvalStageBuilder",
    "EvaluationWorkStage",
    "EvaluationWorkStageConfig",
    "SamplingStage",
    "SamplingStageBuilder",
    "SamplingState",
    "VMCStageBuilder",
    "VMCWorkStage",
    "VMCWorkStageConfig",
    "WorkStageConfig",
    "estimates",
]
