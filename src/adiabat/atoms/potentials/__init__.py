"""Potentials: energies of systems as functions of their atoms and cells, with forces and stresses."""

from adiabat.atoms.potentials.ase_calculator import ASECalculator
from adiabat.atoms.potentials.chgnet import CHGNet
from adiabat.atoms.potentials.from_function import FromFunction
from adiabat.atoms.potentials.harmonic import Harmonic
from adiabat.atoms.potentials.lennard_jones import LennardJones
from adiabat.atoms.potentials.morse import Morse
from adiabat.atoms.potentials.pair_potential import PairPotential
from adiabat.atoms.potentials.potential import Potential
from adiabat.atoms.potentials.soft_sphere import SoftSphere
from adiabat.atoms.potentials.sum_of_potentials import SumOfPotentials
from adiabat.atoms.potentials.torch_model import TorchPotential
from adiabat.atoms.potentials.truncation import TruncatedPairPotential

__all__ = [
    "ASECalculator",
    "CHGNet",
    "FromFunction",
    "Harmonic",
    "LennardJones",
    "Morse",
    "PairPotential",
    "Potential",
    "SoftSphere",
    "SumOfPotentials",
    "TorchPotential",
    "TruncatedPairPotential",
]
