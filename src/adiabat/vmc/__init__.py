"""Variational Monte Carlo, whatever the wavefunction lives on."""

from adiabat.vmc.gradient import LossAndGrad
from adiabat.vmc.local_energy import KineticEnergy, Potential, Total
from adiabat.vmc.sampling import MCMCSampler, SamplePlan
from adiabat.vmc.stages import (
    EvaluationWorkStage,
    EvaluationWorkStageConfig,
    SamplingState,
    VMCWorkStage,
    VMCWorkStageConfig,
)

__all__ = [
    "EvaluationWorkStage",
    "EvaluationWorkStageConfig",
    "KineticEnergy",
    "LossAndGrad",
    "MCMCSampler",
    "Potential",
    "SamplePlan",
    "SamplingState",
    "Total",
    "VMCWorkStage",
    "VMCWorkStageConfig",
]
