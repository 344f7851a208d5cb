"""What the acceptance tests of batched dynamics share: clusters of argon, streams of them, notes of what happened."""

from __future__ import annotations

import numpy as np

from adiabat.atoms import AtomicData, FusedStage, LennardJones, MemorySink, SizeAwareSampler
from adiabat.atoms.in_flight import SamplerSource, SinkOutlet
from adiabat.engine import AbstractCallback, Driver, InFlight

ARGON = LennardJones()
SIGMA = 3.4


def cluster(n, seed, **more):
    """A loose cluster of argon, no two atoms nearer than 0.95 sigma."""
    rng, points = np.random.default_rng(seed), np.zeros((1, 3))
    side = 0.8 * SIGMA * n ** (1 / 3)
    while len(points) < n:
        point = rng.uniform(-side, side, 3)
        if np.linalg.norm(points - point, axis=1).min() > 0.95 * SIGMA:
            points = np.vstack([points, point])
    return AtomicData(points, [18] * n, **more)


def clusters(sizes, seed=0):
    """One of each of these sizes."""
    return [cluster(int(n), 1000 * seed + i) for i, n in enumerate(sizes)]


class Notes(AbstractCallback):
    """Rows of metrics by system, sub-stage and step there; and events by kind."""

    def __init__(self):
        self.rows, self.events = {}, {}

    def on_rows(self, rows, driver):
        for row in rows:
            key = row["system"], row["stage"], row["stage_step"]
            assert key not in self.rows, "a step of a system is told twice"
            self.rows[key] = {name: x for name, x in row.items() if isinstance(x, float) and "second" not in name}

    def on_event(self, kind, message, driver):
        self.events.setdefault(kind, []).append(message)

    def of(self, system):
        """The whole trajectory of a system, in numbers."""
        return {key[1:]: row for key, row in self.rows.items() if key[0] == system}


def streamed(stages, data, slots, sinks=None, hooks=(), **settings):
    """All of these systems through so many slots: the FusedStage, after its run, and the first sink."""
    sinks = [MemorySink()] if sinks is None else sinks
    fused = FusedStage(
        stages, sampler=SizeAwareSampler(data), sinks=sinks, max_batch_size=slots, hooks=list(hooks), **settings
    )
    fused.run()
    return fused, sinks[0]


def driver_of(fused, potential, data, slots, n_slot_atoms, sinks, **settings):
    """The Driver of such a stream, for what a FusedStage has no word for: checkpoints."""
    source = SamplerSource(SizeAwareSampler(data), potential.prepare, slots, n_slot_atoms)
    return Driver(fused, in_flight=InFlight(source, SinkOutlet(sinks)), **settings)


def assert_accounted_for(ledger, sink_ids, batch, n_systems):
    """Every system is in one place, and there once. Those in the batch are active; those that ended are in a sink."""
    counts = ledger.counts
    assert sum(counts.values()) == n_systems
    there = [] if batch is None else [int(i) for i in np.asarray(batch.system_id) if i >= 0]
    assert len(there) == len(set(there)) == counts["active"]
    assert len(sink_ids) == len(set(sink_ids)) == counts["done"] + counts["unfinished"] + counts["failed"]
    assert not set(there) & set(sink_ids)
