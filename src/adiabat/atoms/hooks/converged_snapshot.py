"""Structures as they were when they converged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from adiabat.atoms.hooks.snapshots import SinkHook, labels
from adiabat.engine import StopRun

if TYPE_CHECKING:
    from adiabat.atoms.sinks import Sink
    from adiabat.engine import Driver

__all__ = ["ConvergedSnapshot"]


class ConvergedSnapshot(SinkHook):
    """Writes each structure that converges to a sink, once: as it was then, before the next sub-stage changed it.

    The record's `info` has the `stage` in which the structure converged and the `steps` that it took until then.
    Registered at a sub-stage it sees who converges there; each sub-stage needs a sink of its own, because a sink takes
    a system once.

    Args:
        sink: where they go. When there is no room left in it, the run stops.
    """

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def on_converge(self, step: int, log_data: dict[str, Any], driver: Driver) -> None:
        """Write those that converged.

        Raises:
            StopRun: the sink is full.
        """
        del step, log_data
        batch, mask, label = driver.before_moving_on, driver.current_mask, labels(driver)
        assert mask is not None
        status, steps = np.asarray(batch.status).tolist(), np.asarray(batch.clock.age).tolist()
        info = [{"stage": label.get(code, ""), "steps": n} for code, n in zip(status, steps, strict=True)]
        if mask.any() and (left := self._put(batch, mask, info)):
            raise StopRun(f"{self.sink!r} has no room for the systems {left}, which have converged")

    def __repr__(self) -> str:
        return f"ConvergedSnapshot({self.sink!r})"
