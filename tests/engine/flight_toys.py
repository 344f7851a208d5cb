"""Systems that come and go: countdowns of different lengths, a queue of them, and a shelf for those that ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiabat.engine import Stage, over_systems

NAN_AT = 13.0
"""A countdown that comes to this number fails, if its stage is asked to."""


@dataclass(frozen=True)
class Below:
    """Compiled-in convergence: the number is at most the threshold."""

    threshold: float = 0.5
    frequency: int = 1
    traced: bool = True

    def evaluate(self, state):
        return state.systems["x"] <= self.threshold


@dataclass(frozen=True)
class Countdown(Stage):
    """Takes a random bit less than one off a number each step, and keeps the sum of what was computed."""

    fails_alone: bool = True
    fragile: bool = False
    shared: str | None = None
    by: float = 1.0

    def prime(self, systems):
        return {**systems, "y": jnp.sin(systems["x"])}

    def init(self, state, keys):
        start = over_systems(lambda key: jax.random.uniform(key, (), jnp.float64))(keys)
        return state.systems, {"sum": 0.0 * start, "start": start}

    def pre_update(self, state):
        keys = state.keys("pre_update")
        step = over_systems(lambda key: jax.random.uniform(key, (), jnp.float64, 0.9, 1.0))(keys)
        return state.replace(systems={**state.systems, "x": state.systems["x"] - self.by * step})

    def compute(self, state):
        x = state.systems["x"]
        y = jnp.sin(x)
        if self.fragile:
            y = jnp.where(jnp.abs(x - NAN_AT) < 0.6, jnp.nan, y)
        return state.replace(systems={**state.systems, "y": y}, metrics={"y": y}, rejected=~jnp.isfinite(y))

    def post_update(self, state):
        own = {**state.own, "sum": state.own["sum"] + state.systems["y"]}
        return state.replace(own=own)

    def shared_compute(self):
        return self.shared


def numbers(*values: float) -> dict[str, Any]:
    """Systems of the `Countdown`."""
    x = np.array(values, np.float64)
    return {"x": x, "y": np.full(len(x), 99.0)}


class Queue:
    """Countdowns from these numbers, into so many slots; negative numbers are refused."""

    def __init__(self, values, slots):
        self.values, self.slots, self.next = list(values), slots, 0

    exhausted = property(lambda self: self.next >= len(self.values))

    def __len__(self):
        return len(self.values)

    def empty(self):
        return numbers(*[0.0] * self.slots)

    def fill(self, systems, free):
        x, y, ids, refused = np.array(systems["x"]), np.array(systems["y"]), {}, {}
        for slot in free:
            while not self.exhausted and self.values[self.next] < 0:
                refused[self.next] = "negative"
                self.next += 1
            if not self.exhausted:
                ids[slot], x[slot], y[slot] = self.next, self.values[self.next], 99.0
                self.next += 1
        return {"x": x, "y": y}, ids, refused

    def arrays(self):
        return {"next": np.array([self.next])}

    def restore(self, arrays):
        self.next = int(arrays["next"][0])


class Shelf:
    """Keeps what has ended, at most so many."""

    def __init__(self, room=10**9):
        self.room, self.found, self.n_synced = room, {}, 0

    def deliver(self, batch, finished):
        left = []
        for each in finished:
            if len(self.found) >= self.room and each.system_id not in self.found:
                left.append(each)
                continue
            values = {name: float(x[each.slot]) for name, x in batch.systems.items()}
            row = (str(each.outcome), each.stage, each.steps, each.reason, values)
            # What a resumed run delivers again must be what it delivered before.
            assert self.found.setdefault(each.system_id, row) == row
        return left

    def sync(self):
        self.n_synced = len(self.found)
