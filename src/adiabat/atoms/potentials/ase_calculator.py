"""Any calculator of ASE as a potential, called on the host for one system after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.atoms.batch import Batch
from adiabat.atoms.potentials.made import made
from adiabat.atoms.potentials.on_host import on_host, say_once
from adiabat.atoms.potentials.potential import Potential
from adiabat.atoms.potentials.slot_memory import SlotMemory
from adiabat.config import setting
from adiabat.errors import InputError

Outputs = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class ASECalculator(Potential):
    """The potential of a calculator of ASE: an object, or a class with its arguments.

    ``ASECalculator(EMT())`` or ``{calculator: "ase.calculators.emt:EMT", arguments: {asap_cutoff: true}}``.

    Compiled programs call back into Python, so a step takes what the calculator takes for every system that has
    changed. Each is calculated afresh, without what the calculator remembers of another, so that results do not depend
    on order; the calculator must not change during a run. A system whose calculation fails has energy, forces and
    stress nan and the error is logged; the others go on.

    Raises
    ------
    InputError
        If it is no calculator, cannot be made from the arguments, or gives no energy or no forces.
    """

    calculator: Any = setting(help="calculator, or its class as package.module:Class")
    arguments: Mapping[str, Any] = setting(factory=dict, help="arguments of the class")
    _memory: SlotMemory = field(default_factory=SlotMemory, init=False, repr=False)

    def __post_init__(self) -> None:
        calculator = made(self.calculator, self.arguments, "ASECalculator.calculator")
        given = getattr(calculator, "implemented_properties", None)
        if given is None or not hasattr(calculator, "get_potential_energy"):
            raise InputError(f"ASECalculator.calculator: got {calculator!r}; expected a calculator of ASE")
        for needed in ("energy", "forces"):
            if needed not in given:
                raise InputError(f"ASECalculator: {type(calculator).__name__} gives no {needed}; it gives {given}")
        object.__setattr__(self, "calculator", calculator)

    @property
    def name(self) -> str:
        """The name of the calculator's class."""
        return type(self.calculator).__name__

    @property
    def gives(self) -> frozenset[str]:
        """Energy, forces and what else of stress the calculator implements."""
        return frozenset({"energy", "forces", "stress"} & set(self.calculator.implemented_properties))

    def prepare(self, batch: Batch) -> Batch:
        """The batch; the calculator may have changed since the last run."""
        self._memory.forget()
        return batch

    def evaluate(self, batch: Batch) -> Batch:
        """The batch with energy, forces and stress from a call to the host."""
        s, n = batch.numbers.shape
        shapes = [(s,), (s, n, 3), (s, 3, 3)]

        def all_systems(*arrays: NDArray) -> list[NDArray[np.float64]]:
            return self._memory.complete(lambda slots: self._of_slots(slots, *arrays), arrays, shapes)

        inputs = batch.positions, batch.numbers, batch.masses, batch.cell, batch.pbc
        energy, forces, stress = on_host(all_systems, shapes, *inputs)
        return batch.replace(energy=energy, forces=forces, stress=stress)

    def _of_slots(self, slots: NDArray, positions: Any, numbers: Any, masses: Any, cell: Any, pbc: Any) -> Outputs:
        """Energies (C,), forces (C, N, 3) and stresses (C, 3, 3) of these slots; nan where something fails."""
        c, n = len(slots), numbers.shape[1]
        energy, forces, stress = np.zeros(c), np.zeros((c, n, 3)), np.zeros((c, 3, 3))
        for place, slot in enumerate(slots):
            there = numbers[slot] > 0
            if not there.any():
                continue
            try:
                energy[place], forces[place, there], stress[place] = self._one_system(
                    positions[slot, there], numbers[slot, there], masses[slot, there], cell[slot], pbc[slot]
                )
            except Exception as error:  # noqa: BLE001 - whatever a calculator raises is this system's failure alone
                say_once(f"{self.name} failed for a system: {type(error).__name__}: {error}")
                energy[place], forces[place, there], stress[place] = np.nan, np.nan, np.nan
        return energy, forces, stress

    def _one_system(self, positions: Any, numbers: Any, masses: Any, cell: Any, pbc: Any) -> tuple[Any, Any, Any]:
        from ase import Atoms

        atoms = Atoms(numbers=numbers, positions=positions, masses=masses, cell=cell, pbc=pbc)
        if hasattr(self.calculator, "reset"):
            self.calculator.reset()
        atoms.calc = self.calculator
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        if "stress" not in self.gives or atoms.cell.rank < 3:
            return energy, forces, 0.0
        return energy, forces, atoms.get_stress(voigt=False)
