"""What became of the systems that failed."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batching import index_select, to_data_list
from adiabat.atoms.hooks.snapshots import SinkHook, bare
from adiabat.engine import StopRun

if TYPE_CHECKING:
    from adiabat.atoms.sinks import Sink
    from adiabat.engine import Driver

__all__ = ["FailedSystem", "NaNQuarantine"]


@dataclass(frozen=True)
class FailedSystem:
    """A system that failed: in which sub-stage, after how many steps of its own, why, and its last good structure."""

    system_id: int
    stage: str
    steps: int
    reason: str
    data: AtomicData


class NaNQuarantine(SinkHook):
    """Collects the systems whose energy or forces became infinite or not a number, each as it was before.

    That such a system fails alone, and that all others go on to the bit as without it, is so with or without this hook,
    which reports: `failed` has them by their system id. A system that could not even begin is as it was handed in.

    Args:
        sink: takes their last good structures as well, with `outcome`, `reason`, `stage` and `steps` in their `info`.
            When there is no room left in it, the run stops.
    """

    def __init__(self, sink: Sink | None = None) -> None:
        self.sink = sink
        self.failed: dict[int, FailedSystem] = {}
        self._driver: Any = lambda: None  # whose systems these are; weakly

    def on_run_start(self, step: int, driver: Driver) -> None:
        """Other systems begin with an empty report."""
        del step
        if self._driver() is not driver:
            self.failed, self._driver = {}, weakref.ref(driver)

    def on_event(self, kind: str, message: str, driver: Driver) -> None:
        """Look at who failed.

        Raises:
            StopRun: the sink is full.
        """
        del message
        if kind != "failure":
            return
        batch = driver.batch
        ids, ages = np.asarray(batch.system_id).tolist(), np.asarray(batch.clock.age).tolist()
        new = {slot: why for slot, why in driver.failures.items() if ids[slot] not in self.failed}
        if not new:
            return
        for data, slot in zip(to_data_list(index_select(bare(batch), list(new))), new, strict=True):
            stage, reason = new[slot]
            self.failed[ids[slot]] = FailedSystem(ids[slot], stage, ages[slot], reason, data)
        if self.sink is not None:
            self._deliver(batch, [ids[slot] for slot in new])

    def _deliver(self, batch: Any, new: list[int]) -> None:
        info: list[dict[str, Any]] = [{}] * batch.n_systems
        mask = np.isin(np.asarray(batch.system_id), new)
        for slot in np.flatnonzero(mask).tolist():
            each = self.failed[int(batch.system_id[slot])]
            info[slot] = {"outcome": "failed", "reason": each.reason, "stage": each.stage, "steps": each.steps}
        if left := self._put(batch, mask, info):
            raise StopRun(f"{self.sink!r} has no room for the systems {left}, which have failed")

    def __str__(self) -> str:
        lines = [f"system {f.system_id}: {f.stage}, after {f.steps} steps: {f.reason}" for f in self.failed.values()]
        return "\n".join(lines) or "no system failed"
