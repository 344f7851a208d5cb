"""Rows of metrics told apart by system, each with the system's own step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from adiabat.engine import Driver

__all__ = ["OwnRow", "own_rows"]


class OwnRow(NamedTuple):
    """A row of metrics, and whose it is."""

    row: dict[str, Any]
    step: int  # of the run: steps done
    system_id: int
    system_step: int  # of the system since it was admitted: steps done
    slot: int
    newest: bool  # whether it is of the state in which the system is now
    ended: bool  # whether the system ended with this step


def own_rows(rows: list[dict[str, Any]], driver: Driver) -> Iterator[OwnRow]:
    """The rows that a callback was just handed (`on_rows`), in their order: by the step of the run, then by slot."""
    clock, moving = driver.state.clock, driver.moving
    ids, ages = np.asarray(clock.system_id).tolist(), np.asarray(clock.age).tolist()
    slots = {system: slot for slot, system in enumerate(ids)}
    # The rows of one system do not name it.
    whose = [row.get("system", ids[0]) for row in rows]
    later = Counter(whose)
    for row, system in zip(rows, whose, strict=True):
        slot = slots[system]
        later[system] -= 1
        newest = not later[system]
        own = ages[slot] - later[system]
        yield OwnRow(row, row["step"] + 1, system, own, slot, newest, newest and not moving[slot])
