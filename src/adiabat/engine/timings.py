"""Where the time of a run went, by sub-stage, compilation apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Timings"]


@dataclass
class Timings:
    """Steps done, seconds spent in them (entry and burn-in included), seconds compiling: dicts by sub-stage.

    A resumed run goes on counting from its checkpoint.
    """

    steps: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    compiling: dict[str, float] = field(default_factory=dict)

    def add(self, label: str, *, steps: int = 0, seconds: float = 0.0, compiling: float = 0.0) -> None:
        """Add to the account of a sub-stage."""
        if steps:
            self.steps[label] = self.steps.get(label, 0) + steps
        if seconds:
            self.seconds[label] = self.seconds.get(label, 0.0) + seconds
        if compiling:
            self.compiling[label] = self.compiling.get(label, 0.0) + compiling

    def as_dict(self) -> dict[str, Any]:
        """A copy that JSON can hold."""
        return asdict(self)

    def update(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `as_dict` gave; an account that is missing is empty."""
        for name in ("steps", "seconds", "compiling"):
            account = getattr(self, name)
            account.clear()
            account.update(saved.get(name, {}))
