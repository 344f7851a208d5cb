"""Molecules that go by a name: atoms, reference molecules, common diatomics, and ASE's G2 collection."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from adiabat.config.suggestions import did_you_mean
from adiabat.electrons.elements import NAMES, SYMBOLS
from adiabat.errors import InputError
from adiabat.units import ANGSTROM_PER_BOHR


@dataclass(frozen=True, eq=False)
class KnownMolecule:
    """A molecule found by its name.

    Args:
        name: as chemists write it, 'LiH'.
        symbols: one per atom.
        positions: (atoms, 3), bohr.
        origin: phrase for the log: where the geometry comes from.
        spin: 2S of the neutral molecule where the collection states it.
    """

    name: str
    symbols: tuple[str, ...]
    positions: Float[np.ndarray, "atoms 3"]
    origin: str
    spin: int | None = None


def _diatomic(distance: float) -> list[list[float]]:
    return [[0.0, 0.0, -distance / 2], [0.0, 0.0, distance / 2]]


_T = 1.18886
_REFERENCE: dict[str, tuple[str, list[list[float]], str]] = {
    "H2": ("H H", _diatomic(1.4), "reference geometry (Pachucki 2010)"),
    "LiH": ("Li H", _diatomic(3.015), "reference geometry (Cencek and Rychlewski 2000)"),
    "N2": ("N N", _diatomic(2.068), "reference geometry (Pfau et al. 2020)"),
    "NH3": (
        "N H H H",
        [
            [0.0, 0.0, 0.22013],
            [0.0, 1.77583, -0.51364],
            [1.53791, -0.88791, -0.51364],
            [-1.53791, -0.88791, -0.51364],
        ],
        "reference geometry (Pfau et al. 2020)",
    ),
    "CH4": (
        "C H H H H",
        [[0.0, 0.0, 0.0], [_T, _T, _T], [-_T, -_T, _T], [_T, -_T, -_T], [-_T, _T, -_T]],
        "reference geometry (Pfau et al. 2020)",
    ),
}

# Equilibrium distances in angstrom of diatomics that the G2 collection lacks: Huber and Herzberg, Constants
# of Diatomic Molecules (1979).
_EXPERIMENTAL = {
    "B2": 1.590, "C2": 1.2425, "BH": 1.2324, "BF": 1.2626, "BCl": 1.7157, "BO": 1.2045, "BN": 1.281,
    "BS": 1.6092, "BeO": 1.3309, "BeF": 1.3610, "NaH": 1.8874, "NaF": 1.9260, "LiCl": 2.0207, "KH": 2.2425,
    "KF": 2.1715, "KCl": 2.6667, "MgO": 1.7490, "MgH": 1.7297, "MgF": 1.7500, "AlH": 1.6478, "AlF": 1.6544,
    "AlCl": 2.1301, "AlO": 1.6179, "SiH": 1.5201, "SiS": 1.9293, "PN": 1.4909, "PO": 1.4759, "CF": 1.2718,
    "CP": 1.5622, "NF": 1.3170, "NS": 1.4940, "HBr": 1.4144, "Br2": 2.2811, "BrF": 1.7589, "BrCl": 2.1361,
    "Cr2": 1.6788, "Cu2": 2.2197, "CuH": 1.4626,
}  # fmt: skip

_ENGLISH = {
    "dihydrogen": "H2", "dinitrogen": "N2", "dioxygen": "O2", "ozone": "O3", "water": "H2O", "methane": "CH4",
    "ammonia": "NH3", "lithium hydride": "LiH", "hydrogen fluoride": "HF", "hydrogen chloride": "HCl",
    "carbon monoxide": "CO", "carbon dioxide": "CO2", "nitric oxide": "NO", "nitrous oxide": "N2O",
    "hydrogen peroxide": "H2O2", "hydrogen cyanide": "HCN", "hydrogen sulfide": "SH2", "hydrazine": "N2H4",
    "silane": "SiH4", "phosphine": "PH3", "methylene": "CH2_s3B1d", "ethane": "C2H6", "ethylene": "C2H4",
    "ethene": "C2H4", "acetylene": "C2H2", "ethyne": "C2H2", "propane": "C3H8", "cyclopropane": "C3H6_D3h",
    "benzene": "C6H6", "methanol": "CH3OH", "ethanol": "CH3CH2OH", "formaldehyde": "H2CO",
    "acetaldehyde": "CH3CHO", "acetone": "CH3COCH3", "formic acid": "HCOOH", "acetic acid": "CH3COOH",
    "furan": "C4H4O", "pyrrole": "C4H4NH", "pyridine": "C5H5N", "thiophene": "C4H4S",
    # Formulas that the collections write otherwise; carbene is a triplet and silylene a singlet.
    "H2S": "SH2", "CH2": "CH2_s3B1d", "SiH2": "SiH2_s1A1d", "C2H5OH": "CH3CH2OH", "HO": "OH",
    # The names of these elements are also those of their diatomic gases, so they alone do not decide.
    "hydrogen": "H2", "nitrogen": "N2", "oxygen": "O2", "fluorine": "F2", "chlorine": "Cl2", "bromine": "Br2",
}  # fmt: skip


def known_molecule(text: str) -> KnownMolecule | None:
    """The molecule called `text`, whatever the case as long as that decides; None where none is called so.

    Raises:
        InputError: several molecules are called so when case is ignored, as with 'co' (Co or CO).
    """
    from ase.collections import g2

    name = " ".join(text.split())
    exact = set(SYMBOLS) | set(_REFERENCE) | set(_EXPERIMENTAL) | set(g2.names)
    if name not in exact:
        found = _ignoring_case(name, exact)
        if not found:
            return None
        if len(found) > 1:
            choices = " or ".join(f"'{choice}'" for choice in sorted(found))
            raise InputError(f"'{text}' can mean {choices}: write it as one of these")
        (name,) = found
    return _atom(name) or _reference(name) or _experimental(name) or _from_g2(name)


def suggestion(text: str) -> str:
    """The clause `, did you mean 'LiH'?` for a name that is not known, or nothing."""
    from ase.collections import g2

    return did_you_mean(text, [*_REFERENCE, *_EXPERIMENTAL, *g2.names, *_ENGLISH, *NAMES, *SYMBOLS])


def _ignoring_case(name: str, exact: set[str]) -> set[str]:
    found = {entry for entry in exact if entry.lower() == name.lower()}
    found |= {entry for alias, entry in (*_ENGLISH.items(), *NAMES.items()) if alias.lower() == name.lower()}
    # 'PO' is phosphorus monoxide misplaced, not polonium in capitals.
    return found - set(SYMBOLS) if re.fullmatch("[A-Z]{2}", name) and set(name) <= set(SYMBOLS) else found


def _atom(name: str) -> KnownMolecule | None:
    return KnownMolecule(name, (name,), np.zeros((1, 3)), "a single atom") if name in SYMBOLS else None


def _reference(name: str) -> KnownMolecule | None:
    if name not in _REFERENCE:
        return None
    symbols, positions, origin = _REFERENCE[name]
    return KnownMolecule(name, tuple(symbols.split()), np.array(positions), origin, spin=0)


def _experimental(name: str) -> KnownMolecule | None:
    if name not in _EXPERIMENTAL:
        return None
    symbols = re.findall("[A-Z][a-z]?", name)
    positions = np.array(_diatomic(_EXPERIMENTAL[name] / ANGSTROM_PER_BOHR))
    return KnownMolecule(name, (symbols[0], symbols[-1]), positions, "experimental distance (Huber and Herzberg 1979)")


def _from_g2(name: str) -> KnownMolecule:
    from ase.collections import g2

    atoms = g2[name]
    return KnownMolecule(
        name=name,
        symbols=tuple(atoms.get_chemical_symbols()),
        positions=atoms.get_positions() / ANGSTROM_PER_BOHR,
        origin="geometry of ASE's G2 collection (MP2/6-31G*)",
        spin=round(abs(float(atoms.get_initial_magnetic_moments().sum()))),
    )
