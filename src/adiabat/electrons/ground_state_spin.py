"""The spin a molecule has when nobody says: the ground state of atoms and diatomics, else the lowest."""

from __future__ import annotations

from collections.abc import Sequence

from adiabat.electrons.elements import atomic_number, unpaired_electrons

# Ground states of neutral diatomic molecules by 2S, after Huber and Herzberg, Constants of Diatomic Molecules
# (1979), and for the 3d elements Harrison, Chem. Rev. 100, 679 (2000). What is not here is not claimed to be
# known.
_NEUTRAL = {
    0: """H-H He-He Li-Li Be-Be C-C N-N F-F Ne-Ne Na-Na Mg-Mg P-P Cl-Cl Ar-Ar K-K Cr-Cr Cu-Cu Br-Br Kr-Kr
        Li-H Na-H K-H B-H Al-H Ga-H F-H Cl-H Br-H Sc-H Cu-H Li-Na Li-K Na-K Li-F Na-F K-F Li-Cl Na-Cl K-Cl
        B-F B-Cl Al-F Al-Cl Be-O Mg-O Ca-O C-O Si-O Ge-O C-S Si-S C-Se P-N Cl-F Br-F Br-Cl""",
    1: """Be-H Mg-H Ca-H Zn-H C-H Si-H Ge-H O-H S-H Se-H Ni-H Li-Be Li-O Na-O B-O Al-O Sc-O Cu-O B-S C-N Si-N
        C-P Be-F Mg-F Ca-F Be-Cl Mg-Cl Ca-Cl C-F Si-F C-Cl Si-Cl N-O P-O N-S P-S F-O Cl-O Br-O F-S""",
    2: """B-B O-O Al-Al Si-Si S-S Ge-Ge Se-Se N-H P-H As-H N-F N-Cl N-Br P-F P-Cl S-O Se-O S-Se Li-B Li-N Be-C
        B-N B-P Al-N C-Si Ti-O Ni-O Co-H""",
    3: "B-C Al-C Li-C Ti-H V-O Fe-H Co-O",
    4: "V-H Cr-O Fe-O",
    5: "Cr-H Cr-F Mn-O",
    6: "Mn-H",
}
_IONS = {
    1: {
        0: "He-H C-H N-O",
        1: "H-H He-He Li-H Li-Li N-H F-H N-N O-O C-O N-F",
        2: "O-H S-H",
        3: "C-C",
    },
    -1: {0: "O-H S-H C-N", 1: "C-C N-H O-O", 2: "C-H N-O"},
}


def _table(by_spin: dict[int, str]) -> dict[frozenset[str], int]:
    return {frozenset(pair.split("-")): spin for spin, pairs in by_spin.items() for pair in pairs.split()}


_DIATOMICS = {0: _table(_NEUTRAL)} | {charge: _table(by_spin) for charge, by_spin in _IONS.items()}


def ground_state_spin(symbols: Sequence[str], charge: int) -> tuple[int, str]:
    """2S to assume for these nuclei and this charge, and a phrase that says why, for the log.

    Expects known elements and at least one electron.
    """
    numbers = [atomic_number(symbol) for symbol in symbols]
    known = None
    if len(symbols) == 1:
        known = unpaired_electrons(numbers[0], charge)
    elif len(symbols) == 2:
        known = _DIATOMICS.get(charge, {}).get(frozenset(symbols))
    if known is not None:
        return known, "its known ground state"
    return (sum(numbers) - charge) % 2, "the lowest that fits the electrons; --spin sets another"
