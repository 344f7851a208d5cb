"""A short run in a process of its own, to be killed: python killable.py <folder>. The same command goes on."""

import sys
import time
from pathlib import Path

import numpy as np
from engine_toys import Fragile, Walk, arrays, walkers

from adiabat.engine import AbstractCallback, Checkpoints, Driver, MetricsRecorder, SignalHandler
from adiabat.errors import AdiabatError
from adiabat.io import RunFolder


class Slow(AbstractCallback):
    """Takes its time, so that a kill hits any part of the run."""

    def on_step_end(self, step, log_data, driver):
        time.sleep(0.004)


def main(path):
    stage = (
        Walk(name="pretrain", n_steps=60)
        + Fragile(name="train", n_steps=120, at=(7, 50))
        + Walk(name="evaluate", n_steps=60)
    )
    with RunFolder(path).owned({"kind": "toy"}) as folder, SignalHandler() as signals:
        driver = Driver(
            stage,
            seed=4,
            systems=walkers(),
            callbacks=[Slow(), MetricsRecorder(folder.metrics, ("csv", "jsonl", "hdf5"))],
            checkpoints=Checkpoints(folder.checkpoints, step_interval=5, time_interval=0.05),
            signals=signals,
        )
        driver.restore()
        driver.run()
    leaves, _ = arrays(driver.state)
    np.savez(Path(path) / "final.npz", *leaves)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except AdiabatError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
