"""The chemical elements: symbols, English names, and how many electrons are unpaired in a free atom."""

_TABLE = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar
    K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
    Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe
    Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn
    Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
_ENGLISH = """
    hydrogen helium lithium beryllium boron carbon nitrogen oxygen fluorine neon
    sodium magnesium aluminium silicon phosphorus sulfur chlorine argon
    potassium calcium scandium titanium vanadium chromium manganese iron cobalt nickel copper
    zinc gallium germanium arsenic selenium bromine krypton
"""

SYMBOLS: tuple[str, ...] = tuple(_TABLE.split())
"""Symbols in order of nuclear charge: `SYMBOLS[0]` is hydrogen."""

NAMES: dict[str, str] = dict(zip(_ENGLISH.split(), SYMBOLS, strict=False)) | {
    "aluminum": "Al",
    "sulphur": "S",
}
"""English names, hydrogen to krypton."""

_UNPAIRED = (
    *(1, 0),  # H, He
    *(1, 0, 1, 2, 3, 2, 1, 0),  # Li to Ne
    *(1, 0, 1, 2, 3, 2, 1, 0),  # Na to Ar
    *(1, 0),  # K, Ca
    *(1, 2, 3, 6, 5, 4, 3, 2, 1, 0),  # Sc to Zn; Cr is 3d5 4s1 and Cu 3d10 4s1
    *(1, 2, 3, 2, 1, 0),  # Ga to Kr
)

_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}
_FILLED_ARGON, _FILLED_ZINC = 18, 30


def atomic_number(symbol: str) -> int:
    """The nuclear charge of an element, from its symbol as chemists write it.

    Raises `KeyError` where no element has that symbol.
    """
    return _NUMBERS[symbol]


def unpaired_electrons(number: int, charge: int) -> int | None:
    """Number of unpaired electrons (2S) in the ground state of a free atom or ion, None where unknown here.

    Neutral atoms up to krypton follow Hund's rules and the measured configurations. An ion has the spin of
    the neutral atom with as many electrons where both fill the same shells: not for ions of the 3d metals,
    which lose 4s first.
    """
    n_electrons = number - charge
    if not 1 <= n_electrons <= len(_UNPAIRED):
        return None
    isoelectronic = n_electrons <= _FILLED_ARGON or (number >= _FILLED_ZINC and n_electrons >= _FILLED_ZINC)
    return _UNPAIRED[n_electrons - 1] if charge == 0 or isoelectronic else None
