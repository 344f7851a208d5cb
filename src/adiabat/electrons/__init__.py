"""Electrons in continuous space: molecules, Hartree-Fock, wavefunctions, and their energy."""

from adiabat.electrons.energy import run_energy
from adiabat.electrons.energy_plan import EnergyPlan, plan_energy
from adiabat.electrons.energy_result import EnergyResult, EnergyRun, load
from adiabat.electrons.hamiltonian import CoulombPotential, NuclearScale
from adiabat.electrons.hartree_fock import HartreeFock, hartree_fock
from adiabat.electrons.molecule import Molecule
from adiabat.electrons.molecule_input import molecule_from
from adiabat.electrons.pretrain import Pretrain
from adiabat.electrons.reference_energies import ReferenceEnergy, reference_energy

__all__ = [
    "CoulombPotential",
    "EnergyPlan",
    "EnergyResult",
    "EnergyRun",
    "HartreeFock",
    "Molecule",
    "NuclearScale",
    "Pretrain",
    "ReferenceEnergy",
    "hartree_fock",
    "load",
    "molecule_from",
    "plan_energy",
    "reference_energy",
    "run_energy",
]
