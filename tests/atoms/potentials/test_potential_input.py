"""What users give potentials: files, and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from building import batch_of

from adiabat.atoms.potentials import (
    ASECalculator,
    FromFunction,
    Harmonic,
    LennardJones,
    Morse,
    SoftSphere,
    SumOfPotentials,
)
from adiabat.config import ConfigManager, from_yaml
from adiabat.errors import InputError

DIMER = np.array([[0.0, 0, 0], [0, 0, 3.5]])


def refused(words: str) -> object:
    return pytest.raises(InputError, match=words)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({("Ar", "Krr"): (0.01, 3.4)}, "'Krr'.*expected symbols of elements.*did you mean 'Kr'"),
        ({("Ar", "Kr", "Xe"): (0.01, 3.4)}, "expected two symbols such as Ar-Kr"),
        ({"": (0.01, 3.4)}, "expected two symbols"),
        ({"X-Ar": (0.01, 3.4)}, "'X'.*expected symbols of elements"),
        ({7: (0.01, 3.4)}, "7.*expected symbols of elements"),
        ({"Ar-Kr": (0.01,)}, "Ar-Kr: got .*expected .epsilon in eV, sigma in angstrom."),
        ({"Ar-Kr": 0.01}, "Ar-Kr: got 0.01; expected .epsilon in eV, sigma in angstrom."),
        ({"Ar-Kr": ("a", "b")}, "expected .epsilon in eV"),
        ({"Ar-Kr": (-0.01, 3.4)}, "epsilon = -0.01 eV; expected a number >= 0"),
        ({"Ar-Kr": (0.01, 0.0)}, "sigma = 0 angstrom; expected a number > 0"),
        ({"Ar-Kr": (0.01, float("nan"))}, "sigma = nan angstrom; expected a number > 0"),
        ({("Ar", "Kr"): (0.01, 3.4), ("Kr", "Ar"): (0.01, 3.4)}, "Ar-Kr is given twice"),
    ],
)
def test_parameters_that_make_no_sense(pairs: dict, words: str) -> None:
    with refused(f"LennardJones: .*{words}"):
        LennardJones(pairs=pairs)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LennardJones(cutoff=0.0), "LennardJones.cutoff: expected a number > 0, got 0.0"),
        (lambda: LennardJones(cutoff=float("nan")), "LennardJones.cutoff"),
        (lambda: Morse(cutoff=-1.0), "Morse.cutoff: expected a number > 0, got -1.0"),
        (lambda: LennardJones(onset=3.0), "only truncation 'switch' has an onset"),
        (lambda: LennardJones(truncation="switch", onset=12.0), "expected an onset below a finite cutoff"),
        (lambda: LennardJones(skin=0.0), "LennardJones.skin: expected a number > 0"),
        (lambda: SoftSphere(alpha=1.0), "SoftSphere.alpha: expected a number > 1"),
        (lambda: Harmonic(spring_constant=-1.0), "spring_constant: expected a number >= 0"),
        (lambda: Harmonic(sites=np.zeros((3, 2))), r"got an array of shape \(3, 2\); expected finite numbers"),
        (lambda: SumOfPotentials(()), "expected at least one potential"),
        (lambda: ASECalculator(3), "expected a calculator of ASE"),
        (lambda: ASECalculator("ase.calculators.emt:EMTT"), "has no 'EMTT', did you mean 'EMT'"),
        (lambda: ASECalculator("ase.calculators.harmonic:HarmonicCalculator", {}), "HarmonicCalculator cannot be made"),
    ],
)
def test_settings_that_make_no_sense(make: Callable[[], object], words: str) -> None:
    with refused(words):
        make()


def test_elements_and_pairs_without_parameters() -> None:
    def batch(*numbers: int) -> object:
        return batch_of([DIMER, DIMER], numbers=[18, np.array(numbers)])

    with refused(r"Lennard-Jones: no parameters for the pair Si-Si; give them as pairs: .*Si-Si.*\(slot 1\)"):
        LennardJones().check(batch(14, 14))
    with refused("no parameters for the pair Ar-Kr;.* or set mixing: lorentz-berthelot"):
        LennardJones().check(batch(18, 36))
    with refused("no parameters for the pair Si-Si;"):
        LennardJones(mixing="lorentz-berthelot").check(batch(18, 14))
    with refused("Morse: no parameters for the pair Ar-Ar; give them as pairs: .*D in eV, a in 1/angstrom"):
        Morse().check(batch(18, 18))
    LennardJones(mixing="lorentz-berthelot").check(batch(18, 36))
    LennardJones().check(batch(36, 36))  # argon and krypton never meet


def test_an_infinite_cutoff_is_for_systems_that_do_not_repeat() -> None:
    LennardJones(cutoff=float("inf")).prepare(batch_of([DIMER]))
    with refused("expected a positive, finite length"):
        LennardJones(cutoff=float("inf")).prepare(batch_of([DIMER], [np.eye(3) * 9]))


def test_a_batch_that_is_not_prepared() -> None:
    for potential in (LennardJones(), LennardJones() + Harmonic()):
        with refused(r"batch = potential.prepare\(batch\)"):
            potential.evaluate(batch_of([DIMER]))


def test_sites_of_springs() -> None:
    batch = batch_of([DIMER])
    with refused("no field 'sites'.*they have none"):
        Harmonic().check(batch)
    with refused("no field 'home'.*they have sites"):
        Harmonic(field="home").check(batch.replace(atom_fields={"sites": batch.positions}))
    with refused(r"expected \(3,\)"):
        Harmonic().check(batch.replace(atom_fields={"sites": batch.masses}))
    with refused("got 3 sites for the 2 atoms of slot 0"):
        Harmonic(sites=np.zeros((3, 3))).check(batch)


def test_functions_that_cannot_be_used() -> None:
    batch = batch_of([DIMER, DIMER[:1]])
    with refused("wants 'position'; expected arguments among .*did you mean 'positions'"):
        FromFunction(lambda position: 0.0).check(batch)
    with refused(r"gives an array float64\[2, 3\]; expected one real number"):
        FromFunction(lambda positions: positions).check(batch)
    with refused("gives None"):
        FromFunction(lambda positions: None).check(batch)
    with refused("counts atoms that are not there: .* leave out those for which its argument 'mask' is false"):
        FromFunction(lambda positions: (positions**2).sum()).prepare(batch)


def test_potentials_are_made_from_files(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        """
potential:
  kind: adiabat.atoms.potentials:LennardJones
  pairs: {Ar-Kr: [0.012, 3.5], Kr: [0.015, 3.7]}
  cutoff: 8.5
  truncation: switch
""",
        encoding="utf-8",
    )
    config = ConfigManager([from_yaml(tmp_path / "run.yaml"), {"potential.skin": 0.5}])
    potential = config.get_module("potential", LennardJones)
    config.finalize()
    assert isinstance(potential, LennardJones)
    assert (potential.cutoff, potential.truncation, potential.skin) == (8.5, "switch", 0.5)
    assert potential.parameters_of((18, 36)) == (0.012, 3.5)
    assert potential.parameters_of((36, 36)) == (0.015, 3.7)


def test_sums_and_calculators_are_made_from_settings() -> None:
    calculator = {"kind": "adiabat.atoms.potentials:ASECalculator", "calculator": "ase.calculators.emt:EMT"}
    springs = {"kind": "adiabat.atoms.potentials:Harmonic", "spring_constant": 2.0}
    config = ConfigManager(
        {"potential": {"kind": "adiabat.atoms.potentials:SumOfPotentials", "terms": [calculator, springs]}}
    )
    potential = config.get_module("potential", LennardJones)
    config.finalize()
    assert isinstance(potential.terms[0].calculator, EMT)
    assert potential.terms[1].spring_constant == 2.0
