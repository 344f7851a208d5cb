"""Ready-made hooks: for a Driver's callbacks, and for the hooks of a dynamics or a FusedStage."""

from adiabat.atoms.hooks.logging_hook import LoggingHook
from adiabat.atoms.hooks.trajectory_writer import TrajectoryWriter, read_trajectory

__all__ = ["LoggingHook", "TrajectoryWriter", "read_trajectory"]
