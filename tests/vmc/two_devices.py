"""Trains and evaluates on one and on two devices and prints the metrics of the steps as JSON: two_devices.py <case>.

A process of its own, because the number of devices is fixed when JAX starts.
"""

import json
import sys

import jax
import numpy as np
from vmc_toys import Perceptron, Rows, evaluation_stage, hydrogen, systems, train_stage

from adiabat.electrons import CoulombPotential, Molecule
from adiabat.electrons.wavefunctions import FermiNet
from adiabat.engine import Driver
from adiabat.vmc import MCMCSampler
from adiabat.vmc.optimizers import AdamOptimizer, KFACOptimizer, SROptimizer
from adiabat.vmc.walkers import walker_mesh

MOLECULE = Molecule(("H", "H"), np.array([[0, 0, 0], [0, 0, 1.4]]))
FERMINET = FermiNet(molecule=MOLECULE, one_electron_width=8, determinants=2, start="random", dtype="float64")
CASES = {
    "toy, SR": (Perceptron(), SROptimizer()),
    "complex toy, K-FAC": (Perceptron(True), KFACOptimizer(score_chunk_size=8)),
    "toy, MARCH among the parameters": (Perceptron(), SROptimizer(method="parameter", march_beta=0.9)),
    "toy, conjugate gradients": (Perceptron(), SROptimizer(method="cg", cg_iterations=5)),
    "FermiNet, SR": (FERMINET, SROptimizer()),
    "FermiNet, Adam": (FERMINET, AdamOptimizer()),
}


def rows(wavefunction, optimizer, mesh):
    """Two steps of training and of evaluation."""
    sampler, rows = MCMCSampler(walkers=32, steps=3), Rows()
    estimators = hydrogen(wavefunction, CoulombPotential(MOLECULE))
    common = dict(sampler=sampler, estimators=estimators, mesh=mesh, chunk=4, iterations=2)
    stage = train_stage(wavefunction, optimizer, **common) + evaluation_stage(wavefunction, **common)
    Driver(stage, systems=systems(wavefunction, sampler, 2, "float64"), mesh=mesh, callbacks=[rows]).run()
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows.rows]


if __name__ == "__main__":
    assert len(jax.devices()) == 2
    case = CASES[sys.argv[1]]
    print(json.dumps({"one": rows(*case, None), "two": rows(*case, walker_mesh(32))}))
