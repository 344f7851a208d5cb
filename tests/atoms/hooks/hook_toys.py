"""Runs of small clusters on springs, for hooks to look at."""

import numpy as np
from toy_potentials import Springs

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batch import Batch
from adiabat.atoms.convergence import ConvergenceHook
from adiabat.atoms.in_flight import SamplerSource, SinkOutlet
from adiabat.atoms.integrators import FIRE, NVTLangevin
from adiabat.atoms.sinks import MemorySink
from adiabat.atoms.size_aware_sampler import SizeAwareSampler
from adiabat.engine import Driver, InFlight

SPRINGS = Springs()
CONVERGED = ConvergenceHook.from_fmax(1e-2)


def clusters(count, seed=0):
    """Clusters of 2 to 5 atoms of two elements."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 6, count)
    return [AtomicData(rng.normal(size=(n, 3)), rng.choice([1, 4], size=n)) for n in sizes.tolist()]


def batch_of_clusters(count=4, seed=0):
    return Batch.from_data_list([d.replace(system_id=i) for i, d in enumerate(clusters(count, seed))], n_slot_atoms=5)


def relax_and_heat(n_steps=30, relax_hooks=(), heat_hooks=()):
    """A relaxation, and steps at a temperature after it."""
    heat = NVTLangevin(SPRINGS, temperature=300.0, dt=0.1, n_steps=n_steps, hooks=list(heat_hooks))
    return FIRE(SPRINGS, convergence_hook=CONVERGED, hooks=list(relax_hooks)) + heat


def driver_of(fused, batch, **settings):
    """A Driver of these systems, which all begin."""
    clock = batch.clock
    return Driver(fused.fused, systems=batch.replace(clock=None), clock=clock, **settings)


def streaming(fused, data, slots, **settings):
    """A Driver through whose slots these systems stream, and the sink."""
    sink = MemorySink()
    source = SamplerSource(SizeAwareSampler(data), SPRINGS.prepare, slots, 5)
    return Driver(fused.fused, in_flight=InFlight(source, SinkOutlet([sink])), **settings), sink
