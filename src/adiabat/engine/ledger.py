"""What became of every system of a data set: each is accounted for once, whatever happens."""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

__all__ = ["Ledger", "Outcome"]


class Outcome(enum.IntEnum):
    """Where a system is, or how it ended."""

    QUEUED = 0
    ACTIVE = 1
    DONE = 2
    UNFINISHED = 3  # its step budget ended before it converged
    FAILED = 4

    def __str__(self) -> str:
        return self.name.lower()


class Ledger:
    """The outcome of each of `size` systems by its index in the data set, with its steps, last stage and reason."""

    def __init__(self, size: int) -> None:
        self.outcome = np.full(size, Outcome.QUEUED, np.int8)
        self.steps = np.zeros(size, np.int64)
        self._stage = np.full(size, -1, np.int16)
        self._labels: list[str] = []
        self._reasons: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.outcome)

    def stage(self, system: int) -> str:
        """The sub-stage in which a system ended; empty if it has not."""
        number = int(self._stage[system])
        return self._labels[number] if number >= 0 else ""

    def reason(self, system: int) -> str:
        """Why a system failed or was left unfinished; empty otherwise."""
        return self._reasons.get(system, "")

    @property
    def counts(self) -> dict[str, int]:
        """How many systems are where: {"queued": 3, "active": 2, "done": 7, "unfinished": 0, "failed": 1}."""
        found = Counter(self.outcome.tolist())
        return {str(outcome): found[int(outcome)] for outcome in Outcome}

    def admit(self, systems: Iterable[int]) -> None:
        """Systems that leave the queue.

        Raises:
            RuntimeError: one of them is not queued.
        """
        for system in systems:
            self._expect(system, Outcome.QUEUED, "admitted")
            self.outcome[system] = Outcome.ACTIVE

    def refuse(self, system: int, reason: str) -> None:
        """A system that cannot even begin has failed."""
        self._expect(system, Outcome.QUEUED, "refused")
        self.outcome[system] = Outcome.FAILED
        self._reasons[system] = reason

    def close(self, system: int, outcome: Outcome, *, steps: int, stage: str, reason: str = "") -> None:
        """How an active system ended.

        Raises:
            RuntimeError: it is not active.
        """
        self._expect(system, Outcome.ACTIVE, "closed")
        if stage not in self._labels:
            self._labels.append(stage)
        self.outcome[system], self.steps[system] = outcome, steps
        self._stage[system] = self._labels.index(stage)
        if reason:
            self._reasons[system] = reason

    def check(self, active: Iterable[int]) -> None:
        """Raise RuntimeError unless exactly these systems are active: none may be lost or be there twice."""
        there, noted = sorted(active), np.flatnonzero(self.outcome == Outcome.ACTIVE).tolist()
        if there != noted:
            raise RuntimeError(f"systems {there} are in the batch, and {noted} are noted as active")

    def _expect(self, system: int, outcome: Outcome, what: str) -> None:
        if self.outcome[system] != outcome:
            raise RuntimeError(f"system {system} is {Outcome(int(self.outcome[system]))} and cannot be {what}")

    # --- for checkpoints ------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        texts = json.dumps({"labels": self._labels, "reasons": self._reasons}).encode()
        return {
            "outcome": self.outcome,
            "steps": self.steps,
            "stage": self._stage,
            "texts": np.frombuffer(texts, np.uint8),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Be what `arrays` gave."""
        self.outcome, self.steps, self._stage = (np.array(arrays[name]) for name in ("outcome", "steps", "stage"))
        texts = json.loads(bytes(arrays["texts"]))
        self._labels = list(texts["labels"])
        self._reasons = {int(system): reason for system, reason in texts["reasons"].items()}
