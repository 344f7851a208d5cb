"""A stream of clusters in a process of its own, to be killed: python killable_stream.py <folder> <extxyz | h5>. The
same command goes on."""

import sys
import time
from pathlib import Path

import numpy as np
from weak_systems import ARGON, clusters, driver_of

from adiabat.atoms import FIRE, ASESink, ConvergenceHook, HDF5Sink, NVTLangevin
from adiabat.engine import AbstractCallback, Checkpoints


class Slow(AbstractCallback):
    """Takes its time, so that a kill hits any part of the run."""

    def on_step_end(self, step, log_data, driver):
        time.sleep(0.002)


def main(folder, kind):
    data = clusters(np.random.default_rng(5).integers(4, 9, 60))
    relax = FIRE(ARGON, convergence_hook=ConvergenceHook.from_fmax(2e-3))
    stages = relax + NVTLangevin(ARGON, temperature=20.0, dt=2.0, n_steps=20)
    sink = (ASESink if kind == "extxyz" else HDF5Sink)(folder / f"final.{kind}")
    checkpoints = Checkpoints(folder / "checkpoints", step_interval=7, time_interval=0.0)
    driver = driver_of(
        stages.fused, ARGON, data, 8, 8, [sink], callbacks=[Slow()], checkpoints=checkpoints, chunk_seconds=0.05
    )
    driver.restore()
    driver.run()
    sink.close()
    assert driver.in_flight.ledger.counts["done"] == len(data)
    (folder / "done").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
