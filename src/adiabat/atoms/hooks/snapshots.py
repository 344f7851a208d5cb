"""Single systems of a batch at work, as records with a word on how they came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adiabat.atoms.batch import Batch
from adiabat.engine import WritingCallback

if TYPE_CHECKING:
    from adiabat.atoms.sinks import Sink
    from adiabat.engine import Driver

__all__ = ["SinkHook", "bare", "labels"]


def bare(batch: Batch) -> Batch:
    """The batch without what its potential and its integrator keep, which no record needs."""
    return batch.replace(neighbors=(), own=None)


def labels(driver: Driver) -> Mapping[int, str]:
    """The sub-stages' labels by their codes."""
    return {sub.code: sub.label for sub in driver.stage.sub_stages}


class SinkHook(WritingCallback):
    """Hands systems to a sink, which the user opens and closes; what it holds is on disk before every checkpoint."""

    sink: Sink | None = None

    def _sync(self) -> None:
        if self.sink is not None:
            self.sink.sync()

    def _put(self, batch: Batch, mask: np.ndarray, info: Sequence[Mapping[str, Any]]) -> list[int]:
        """Write the systems of the mask; returns the ids of those for which there was no room."""
        assert self.sink is not None
        left = mask & ~self.sink.write(bare(batch), mask, info)
        return np.asarray(batch.system_id)[left].tolist()
