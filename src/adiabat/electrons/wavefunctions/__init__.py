"""Neural wavefunctions of electrons in molecules."""

from adiabat.electrons.wavefunctions.ferminet import FermiNet
from adiabat.electrons.wavefunctions.psiformer import Psiformer
from adiabat.electrons.wavefunctions.slater_orbitals import HartreeFockStart, fit_start

__all__ = ["FermiNet", "HartreeFockStart", "Psiformer", "fit_start"]
