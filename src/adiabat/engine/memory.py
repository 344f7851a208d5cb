"""How much memory a compiled program takes, as XLA counts it before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["MemoryUse", "memory_use"]


@dataclass(frozen=True)
class MemoryUse:
    """Bytes on one device while a program runs: what it is given, what it gives back, what it needs in between.

    Args:
        arguments: of the arrays that it is given, which stay.
        outputs: of those that it gives back.
        temporaries: of what it needs while it runs.
        aliased: of the outputs, those that take the place of arguments.
    """

    arguments: int
    outputs: int
    temporaries: int
    aliased: int = 0

    @property
    def total(self) -> int:
        """All of it at once."""
        return self.arguments + self.outputs + self.temporaries - self.aliased

    def __str__(self) -> str:
        parts = ("arguments", self.arguments), ("outputs", self.outputs), ("temporaries", self.temporaries)
        return f"{self.total / 1e6:.1f} MB ({', '.join(f'{name} {size / 1e6:.1f}' for name, size in parts)})"


def memory_use(program: Any) -> MemoryUse:
    """Of a compiled program (`jax.stages.Compiled`), by XLA's own count."""
    counted = program.memory_analysis()
    return MemoryUse(
        arguments=counted.argument_size_in_bytes,
        outputs=counted.output_size_in_bytes,
        temporaries=counted.temp_size_in_bytes,
        aliased=counted.alias_size_in_bytes,
    )
