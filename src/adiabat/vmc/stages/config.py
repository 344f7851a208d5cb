"""Settings of the work stages."""

from __future__ import annotations

from dataclasses import dataclass

from adiabat.config import check_settings, setting


@dataclass(frozen=True)
class WorkStageConfig:
    """Settings that all work stages have."""

    iterations: int = setting(100, min=0, help="steps of the stage; 0 leaves it out")
    burn_in: int = setting(0, min=0, help="sampling sweeps before the first step, discarded; they adapt the moves")
    save_time_interval: float = setting(600.0, min=0, unit="s", help="least time between two checkpoints")
    save_step_interval: int = setting(1000, min=1, help="least number of steps between two checkpoints")
    save_keep_every: int = setting(
        0, min=0, help="keep the first checkpoint of every so many steps for good, besides the last 3; 0: none"
    )
    chunk: int | None = setting(None, min=1, help="walkers evaluated at a time; null: chosen by size")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class VMCWorkStageConfig(WorkStageConfig):
    """Settings of training."""

    cooldown: float = setting(
        0.4, min=0, max=1, help="last part of the iterations, over which updates shrink linearly to 5 %"
    )
    max_update_length: float | None = setting(
        100.0,
        above=0,
        help="steps are tried again if their update moves the state further than this (Fubini-Study); null: never",
    )
    averaging: float = setting(
        0.02,
        min=0,
        max=1,
        help="weight of each step in the average of the parameters that is evaluated; 0: the last",
    )


@dataclass(frozen=True)
class EvaluationWorkStageConfig(WorkStageConfig):
    """Settings of evaluation."""

    iterations: int = setting(100, min=1, help="most steps of the stage")
    error: float | None = setting(
        None,
        above=0,
        unit="hartree",
        help="sample until the error bar of the energy is below this; null: iterations",
    )
    check_interval: int = setting(50, min=1, help="steps between two looks at the error bar")
