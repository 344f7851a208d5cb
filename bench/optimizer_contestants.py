"""Optimizers that are compared, on what, and with which words of the command line."""

from __future__ import annotations

CONTESTANTS: dict[str, tuple[str, ...]] = {
    "SPRING": ("--train.optimizer", "sr"),
    "SR": ("--train.optimizer", "sr", "--train.optimizer.spring_mu", "none"),
    "MARCH": ("--train.optimizer", "sr", "--train.optimizer.march_beta", "0.995"),
    "K-FAC": ("--train.optimizer", "kfac"),
    "Adam": ("--train.optimizer", "adam"),
    "LAMB": ("--train.optimizer", "lamb"),
}

SYSTEMS: dict[str, tuple[str, ...]] = {
    "Be": ("--train.iterations", "800"),
    "LiH": ("--train.iterations", "800"),
    # Some 35 minutes on two cores. Its local energies vary a hundred times as much: the usual error bar would take
    # longer than the training.
    "N2": ("--train.iterations", "1500", "--train.optimizer.learning_rate.delay", "600", "--error", "4e-3"),
}
"""Every other system is run as it is by default."""

PLAN: dict[str, tuple[int, ...]] = {"Be": (0, 1, 2), "LiH": (0, 1, 2), "N2": (0,)}
"""Seeds of what docs/optimizers.md shows."""

BEST_ONLY = ("N2",)
"""Systems of the plan on which not every contestant is meant to run."""
