"""How atoms move: molecular dynamics and relaxation, one file each.

A new ensemble is a `MolecularDynamics`; one with a barostat also moves ``batch.cell``. A new relaxation, quasi-Newton
for one, is a `Relaxer` that says how far to go along given forces, with a moving cell for nothing.
"""

from adiabat.atoms.integrators.fire import FIRE
from adiabat.atoms.integrators.fire2 import FIRE2
from adiabat.atoms.integrators.frechet_cell import FrechetCell
from adiabat.atoms.integrators.gradient_descent import GradientDescent
from adiabat.atoms.integrators.maxwell_boltzmann import maxwell_boltzmann
from adiabat.atoms.integrators.molecular_dynamics import MolecularDynamics
from adiabat.atoms.integrators.nve import NVE
from adiabat.atoms.integrators.nvt_langevin import NVTLangevin
from adiabat.atoms.integrators.nvt_nose_hoover import NVTNoseHoover
from adiabat.atoms.integrators.relaxer import Relaxer

__all__ = [
    "FIRE",
    "FIRE2",
    "NVE",
    "FrechetCell",
    "GradientDescent",
    "MolecularDynamics",
    "NVTLangevin",
    "NVTNoseHoover",
    "Relaxer",
    "maxwell_boltzmann",
]
