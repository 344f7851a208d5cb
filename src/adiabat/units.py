"""Conversion factors between atomic units and the units of the interface (CODATA 2022)."""

ANGSTROM_PER_BOHR = 0.529177210544
