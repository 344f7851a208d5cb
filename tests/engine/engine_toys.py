"""Stages without physics, small enough to predict, and callbacks that note what they see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiabat.engine import AbstractCallback, Stage, over_systems


def walkers(n_systems: int = 1, n_walkers: int = 4) -> dict[str, Any]:
    """Systems of the `Walk`: walkers (S, N, 3) and one parameter a system."""
    return {
        "x": np.zeros((n_systems, n_walkers, 3), np.float32),
        "parameter": np.ones(n_systems, np.float64),
    }


@dataclass(frozen=True)
class Idle(Stage):
    """Does nothing, as fast as it can."""

    def compute(self, state):
        return state


@dataclass(frozen=True)
class Count(Stage):
    """Adds `by` to the number of each system."""

    by: int = 1

    def compute(self, state):
        return state.replace(metrics={"n": state.systems["n"]})

    def post_update(self, state):
        return state.replace(systems={"n": state.systems["n"] + self.by})


@dataclass(frozen=True)
class Walk(Stage):
    """A random walk that drives a parameter; uses every phase, random keys, own rows of several dtypes, scratch."""

    width: float = 0.5
    rate: float = 0.1
    kind: str = "plain"

    def init(self, state, keys):
        systems = state.systems
        start = over_systems(lambda key, x: x + jax.random.normal(key, x.shape, x.dtype))(keys, systems["x"])
        moment = jnp.zeros_like(systems["parameter"])
        return {**systems, "x": start}, {"moment": moment, "steps": jnp.zeros(moment.shape, jnp.int32)}

    def pre_update(self, state):
        def move(key, x):
            return x + self.width * jax.random.normal(key, x.shape, x.dtype)

        x = over_systems(move)(state.keys("pre_update"), state.systems["x"])
        return state.replace(systems={**state.systems, "x": x}, metrics={"spread": jnp.std(x, axis=(1, 2))})

    def compute(self, state):
        energy = jnp.mean(jnp.sum(state.systems["x"] ** 2, axis=-1), axis=-1, dtype=jnp.float64)
        direction = jnp.tanh(energy) * state.systems["parameter"]
        return state.replace(
            scratch={"direction": direction, "loss": energy},
            metrics={**state.metrics, "energy": energy},
            rejected=~jnp.isfinite(energy),
        )

    def post_update(self, state):
        moment = 0.9 * state.own["moment"] + state.scratch["direction"]
        parameter = state.systems["parameter"] - self.rate * moment
        return state.replace(
            systems={**state.systems, "parameter": parameter},
            own={"moment": moment, "steps": state.own["steps"] + 1},
        )

    def finish(self, systems, own):
        return {**systems, "parameter": systems["parameter"] + 0.0 * own["moment"]}

    def inject(self, state, samples):
        return state.replace(systems={**state.systems, "x": samples}, metrics={"spread": jnp.zeros(state.n_systems)})

    def signature(self):
        return {"kind": self.kind}


@dataclass(frozen=True)
class Fragile(Walk):
    """A walk whose energy is not a number at chosen steps, for the first so many attempts there."""

    at: tuple[int, ...] = ()
    failures: int = 1
    systems_hit: tuple[int, ...] = (0,)

    def compute(self, state):
        state = super().compute(state)
        hit = jnp.isin(state.clock.stage_age, jnp.array(self.at)) & (state.clock.attempt < self.failures)
        hit &= jnp.isin(state.clock.system_id, jnp.array(self.systems_hit))
        energy = jnp.where(hit, jnp.nan, state.metrics["energy"])
        metrics = {**state.metrics, "energy": energy, "nonfinite_walkers": hit.astype(jnp.int32) * 3}
        return state.replace(metrics=metrics, rejected=~jnp.isfinite(energy))


@dataclass
class Reached:
    """Convergence: the named metric is at most the threshold."""

    name: str
    threshold: float
    frequency: int = 1
    evaluated: list[int] = field(default_factory=list)

    def evaluate(self, state):
        self.evaluated.append(int(np.asarray(state.clock.stage_age).max()))
        return np.asarray(state.metrics[self.name]) <= self.threshold


class Notes(AbstractCallback):
    """Notes every point it is called at; `raising` maps a (method, step) to an exception."""

    def __init__(self, name="", notes=None, order=0, raising=None):
        self.name, self.order = name, order
        self.notes = [] if notes is None else notes
        self.raising = raising or {}

    callback_order = property(lambda self: self.order)

    def _note(self, method, step):
        self.notes.append((self.name, method, step) if self.name else (method, step))
        error = self.raising.get((method, step))
        if error is not None:
            raise error

    def on_run_start(self, step, driver):
        self._note("on_run_start", step)

    def on_step_start(self, step, log_data, driver):
        self._note("on_step_start", step)

    def on_compute_update_start(self, step, log_data, driver):
        self._note("on_compute_update_start", step)

    def on_compute_update_end(self, step, log_data, driver):
        self._note("on_compute_update_end", step)
        return False

    def before_parameter_update(self, step, log_data, driver):
        self._note("before_parameter_update", step)

    def on_step_end(self, step, log_data, driver):
        self._note("on_step_end", step)

    def on_converge(self, step, log_data, driver):
        self._note("on_converge", step)

    def on_run_end(self, step, driver):
        self._note("on_run_end", step)

    def on_run_error(self, step, error, driver):
        self._note("on_run_error", step)


class Rows(AbstractCallback):
    """Keeps the rows and the events, as a logger would write them."""

    callback_order = 10

    def __init__(self):
        self.rows, self.blocks, self.events = [], [], []

    def on_rows(self, rows, driver):
        self.rows += rows
        self.blocks.append(len(rows))

    def on_event(self, kind, message, driver):
        self.events.append((kind, message))

    def without_times(self):
        return [{name: value for name, value in row.items() if name != "seconds"} for row in self.rows]


def arrays(state):
    """All arrays of a state but the metrics, for comparing to the bit."""
    leaves, structure = jax.tree.flatten((state.systems, state.own, state.clock))
    return [np.asarray(leaf) for leaf in leaves], str(structure)


def assert_same_state(a, b):
    """Equal to the bit, dtypes included."""
    (left, built), (right, built_too) = arrays(a), arrays(b)
    assert built == built_too
    for x, y in zip(left, right, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def metrics_without_times(folder):
    """What is in every file of metrics of a run folder, wall times aside."""
    import h5py

    found = {}
    for path in sorted((folder / "metrics").iterdir()):
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                found[path.name] = {name: file[name][:].tolist() for name in file if name != "seconds"}
        else:
            # "seconds" is the last of each row.
            found[path.name] = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
    return found
