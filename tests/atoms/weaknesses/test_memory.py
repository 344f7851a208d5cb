"""What a run will take in memory is known before it runs, by XLA's own count."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from toy_potentials import Springs
from weak_systems import ARGON, cluster

from adiabat.atoms import FIRE, NVE, AtomicData, Batch, FusedStage, NVTLangevin, SizeAwareSampler
from adiabat.engine import Driver, HookStageEnum

SOURCE = Path(__file__).parents[3] / "src"


def test_the_prediction_is_the_count_of_xla_for_the_largest_program(monkeypatch):
    counted = []
    compiled = jax.stages.Lowered.compile

    def noted(lowered, *arguments, **settings):
        program = compiled(lowered, *arguments, **settings)
        counted.append(program.memory_analysis())
        return program

    monkeypatch.setattr(jax.stages.Lowered, "compile", noted)
    use = NVE(ARGON).memory(Batch.from_data_list([cluster(30, i) for i in range(3)]))
    largest = max(counted, key=lambda each: each.argument_size_in_bytes + each.temp_size_in_bytes)
    assert use.arguments == largest.argument_size_in_bytes
    assert use.outputs == largest.output_size_in_bytes
    assert use.temporaries == largest.temp_size_in_bytes > 0
    assert use.total == use.arguments + use.outputs + use.temporaries - use.aliased
    assert len(counted) == 2  # the step and the entry
    assert str(use).startswith(f"{use.total / 1e6:.1f} MB (arguments ")


class Compilations:
    """How many programs are made from here on."""

    stage, frequency = HookStageEnum.AFTER_STEP, 1

    def __init__(self):
        self.made = []

    def on_event(self, kind, message, driver):
        if kind == "compile_started":
            self.made.append(message)


class Wind:
    """Compiled into the step."""

    stage, frequency, traced = HookStageEnum.AFTER_COMPUTE, 1, True

    def __call__(self, batch, dynamics):
        return batch.replace(forces=batch.forces + 0.01 * batch.real[..., None])


def test_what_was_counted_is_what_runs():
    """No program is compiled but those that were counted, with stages that share one and with hooks inside."""
    springs = Springs()
    fused = NVE(springs, n_steps=4) + NVTLangevin(springs, temperature=9.0, n_steps=3) + FIRE(springs, n_steps=2)
    batch = Batch.from_data_list([AtomicData(np.eye(3), [1, 4, 1]), AtomicData(2 * np.eye(3), [4, 4, 1])])
    for hooks in ([], [Wind()]):
        driver = Driver(fused.fused, systems=springs.prepare(batch), callbacks=hooks)
        use = driver.compile()
        compiling = dict(driver.timings.compiling)
        driver.run(1)
        # What goes in is the state, and which step it is.
        state = [driver.state.systems, driver.state.own, driver.state.clock]
        given = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state)) + 8
        assert use.arguments == pytest.approx(given, rel=0.05)
        driver.run()
        assert driver.timings.compiling == compiling
        assert driver.done


def test_a_stream_knows_before_its_first_system():
    fused = FusedStage(
        [(0, NVE(ARGON, n_steps=3))], sampler=SizeAwareSampler([cluster(7, i) for i in range(5)]), max_batch_size=2
    )
    use = fused.memory()
    assert use.total > 2 * 8 * 3 * 8  # two slots of eight atoms
    assert fused.ledger.counts["queued"] == 5
    assert fused.run() is None
    with pytest.raises(ValueError, match="needs a batch"):
        FusedStage([(0, NVE(ARGON, n_steps=3))]).memory()


GROWTH = """
import ctypes, sys
import numpy as np
from adiabat.atoms import NVE, AtomicData, Batch, LennardJones

def megabytes(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1e3

rng = np.random.default_rng(0)
grid = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), -1).reshape(-1, 3) * 3.8
data = [AtomicData(grid + 0.1 * rng.normal(size=grid.shape), [18] * 512) for _ in range(48)]
dynamics = NVE(LennardJones(search="all-pairs"))
batch = Batch.from_data_list(data)
use = dynamics.memory(batch)
ctypes.CDLL("libc.so.6").malloc_trim(0)
before = megabytes("VmRSS")
dynamics.run(batch, 1)
after = megabytes("VmHWM")
print(after - before, use.total / 1e6)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_resident_memory_grows_by_what_was_predicted():
    """In a process of its own: compiled first, then one step while the highest mark of its memory is watched."""
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    said = subprocess.run(
        [sys.executable, "-c", GROWTH], env=environment, capture_output=True, text=True, check=True, timeout=300
    ).stdout
    grown, predicted = map(float, said.split())
    assert predicted > 100  # so that all else is small
    assert grown == pytest.approx(predicted, rel=0.1)
