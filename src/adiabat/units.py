"""Conversion factors between atomic units and the units of the interface (CODATA 2022)."""

ANGSTROM_PER_BOHR = 0.529177210544

BOLTZMANN = 8.617333262145179e-5
"""Boltzmann's constant in eV/K."""

ENERGY_PER_MASS = 9.648533212331002e-3
"""1 eV/amu in (angstrom/fs)**2: accelerations are ENERGY_PER_MASS * force / mass."""

GPA_PER_EV_PER_CUBIC_ANGSTROM = 160.2176634
"""1 eV/angstrom**3 in GPa."""
