"""Any model of PyTorch as a potential, called once for all systems of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from adiabat.atoms.batch import Batch
from adiabat.atoms.potentials.made import made
from adiabat.atoms.potentials.on_host import on_host, say_once
from adiabat.atoms.potentials.potential import Potential
from adiabat.atoms.potentials.slot_memory import SlotMemory
from adiabat.atoms.potentials.torch_call import Results, evaluated, import_torch, wanted_by
from adiabat.config import check_settings, did_you_mean, setting
from adiabat.errors import InputError

Fields = Mapping[str, NDArray]


@dataclass(frozen=True, eq=False)
class TorchPotential(Potential):
    """The potential of a torch model ``energies(positions, numbers, cell, pbc, batch, ...)`` of many systems at once.

    A module or a function, or a class or factory as package.module:Class with its arguments. Its own arguments are
    handed over by name, those that its signature has, for n atoms of S systems that stand one after the other:

    ===================  ==============================================================================
    ``positions``        (n, 3), angstrom
    ``numbers``          (n,), atomic numbers
    ``masses``           (n,), amu
    ``batch``            (n,), which system each atom belongs to, from 0 to S - 1
    ``cell``, ``pbc``    (S, 3, 3), lattice vectors in rows; (S, 3), along which of them a system repeats
    any other            field of the batch of this name, of the atoms (n, ...) or of the systems (S, ...)
    ===================  ==============================================================================

    It gives the energies (S,) in eV, or a mapping with ``energy`` and perhaps ``forces`` (n, 3) in eV/angstrom and
    ``stress`` (S, 3, 3) in eV/angstrom**3, positive under tension. What it does not give is found by differentiating
    the energy: the stress by a strain of positions and cells, divided by the volume, and zero without a volume.

    Compiled programs call back into Python, once a step for all systems that have changed since the last call; empty
    slots and systems at rest are not handed over. A large batch can be cut with ``atoms_at_once``. Floating-point
    numbers are handed over as ``dtype`` and come back as float64. If the model raises an error, systems are tried one
    by one: those that raise it again have energy, forces and stress nan, and the error is logged; the others go on.

    Raises
    ------
    InputError
        If torch is not installed, or the model is no callable or cannot be made from the arguments; from `check` if an
        argument is no field of the batch, or what the model gives are no energies or cannot be differentiated.
    """

    model: Any = setting(help="torch model, or its class as package.module:Class")
    arguments: Mapping[str, Any] = setting(factory=dict, help="arguments of the class")
    dtype: Literal["float32", "float64"] = setting("float32", help="of numbers that the model is given")
    device: str = setting("cpu", help="where the model is and calculates, as torch calls it: cpu, cuda, cuda:1")
    threads: int | None = setting(None, min=1, help="threads of torch on a CPU; null: as torch is set")
    atoms_at_once: int | None = setting(
        None,
        min=1,
        help="atoms of a call, or those of one system if these are more; null: all, however much memory it takes",
    )
    stress: bool = setting(True, help="whether the stress is wanted")
    _memory: SlotMemory = field(default_factory=SlotMemory, init=False, repr=False)

    def __post_init__(self) -> None:
        check_settings(self)
        torch = import_torch()
        model = made(self.model, self.arguments, "TorchPotential.model")
        if not callable(model):
            raise InputError(f"TorchPotential.model: got {model!r}; expected a torch module or a function")
        if isinstance(model, torch.nn.Module):
            model = model.to(self.device).eval()
        object.__setattr__(self, "model", model)

    @property
    def name(self) -> str:
        """The name of the model's class, or of the function."""
        return getattr(self.model, "__name__", type(self.model).__name__)

    @property
    def gives(self) -> frozenset[str]:
        """Energy, forces and, if it is wanted, stress."""
        return frozenset({"energy", "forces", "stress"} if self.stress else {"energy", "forces"})

    def check(self, batch: Batch) -> None:
        """Raise `InputError` if the model cannot be called for the systems of the batch."""
        of_atoms, of_systems = ({n: np.asarray(a) for n, a in part.items()} for part in self._fields(batch))
        for slot in np.flatnonzero((of_atoms["numbers"] > 0).any(axis=1))[:1]:
            try:
                self._evaluated(_in_a_row(of_atoms, of_systems, np.array([slot])))
            except InputError:
                raise
            except Exception as error:  # noqa: BLE001 - perhaps a failure of this system alone
                say_once(f"{self.name} failed for a system: {type(error).__name__}: {error}")

    def prepare(self, batch: Batch) -> Batch:
        """The batch; the model may have changed since the last run."""
        self._memory.forget()
        return batch

    def evaluate(self, batch: Batch) -> Batch:
        """The batch with energy, forces and stress from a call to the host."""
        s, n = batch.numbers.shape
        shapes = [(s,), (s, n, 3), (s, 3, 3)]
        of_atoms, of_systems = self._fields(batch)

        def all_systems(*arrays: NDArray) -> list[NDArray[np.float64]]:
            rows = dict(zip(of_atoms, arrays, strict=False))
            tables = dict(zip(of_systems, arrays[len(of_atoms) :], strict=True))
            return self._memory.complete(lambda slots: self._of_slots(rows, tables, slots), arrays, shapes)

        energy, forces, stress = on_host(all_systems, shapes, *of_atoms.values(), *of_systems.values())
        return batch.replace(energy=energy, forces=forces, stress=stress)

    def _of_slots(self, of_atoms: Fields, of_systems: Fields, slots: NDArray) -> Results:
        """Energies (C,), forces (C, N, 3) and stresses (C, 3, 3) of these slots; nan where something fails."""
        there = of_atoms["numbers"][slots] > 0
        occupied = there.any(axis=1)
        energy = np.where(occupied, np.nan, 0.0)
        forces = np.where(there[..., None], np.nan, np.zeros(3))
        stress = np.where(occupied[:, None, None], np.nan, np.zeros((3, 3)))

        finite = [np.isfinite(array[slots]).all(axis=(1, 2)) for array in (of_atoms["positions"], of_systems["cell"])]
        groups = self._groups(np.flatnonzero(occupied & np.all(finite, axis=0)), there.sum(axis=1))
        while groups:
            group = groups.pop()
            if not len(group):
                continue
            try:
                found = self._evaluated(_in_a_row(of_atoms, of_systems, slots[group]))
            except Exception as error:  # noqa: BLE001 - whatever a model raises is the failure of systems alone
                if len(group) > 1:
                    groups += np.split(group, len(group))
                else:
                    say_once(f"{self.name} failed for a system: {type(error).__name__}: {error}")
                continue
            mine = np.zeros_like(there)
            mine[group] = there[group]
            energy[group], forces[mine], stress[group] = found
        return Results(energy, forces, stress)

    def _groups(self, systems: NDArray, n_atoms: NDArray) -> list[NDArray]:
        """Systems of one call each, in order."""
        if self.atoms_at_once is None:
            return [systems]
        which = (np.cumsum(n_atoms[systems]) - 1) // self.atoms_at_once
        return np.split(systems, np.flatnonzero(np.diff(which)) + 1)

    def _evaluated(self, inputs: Fields) -> Results:
        return evaluated(
            self.model, inputs, dtype=self.dtype, device=self.device, threads=self.threads, stress=self.stress
        )

    def _fields(self, batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a call is made from: fields of atoms (S, N, ...) and of systems (S, ...).

        Raises
        ------
        InputError
            If the batch has no field of the name of an argument that must be given.
        """
        of_atoms = {"positions": batch.positions, "numbers": batch.numbers}
        of_systems = {"cell": batch.cell, "pbc": batch.pbc}
        more_of_atoms = {"masses": batch.masses, **batch.atom_fields}
        known = [*of_atoms, "masses", "batch", *of_systems, *batch.atom_fields, *batch.system_fields]
        for name, is_required in wanted_by(self.model).items():
            if name in more_of_atoms:
                of_atoms[name] = more_of_atoms[name]
            elif name in batch.system_fields:
                of_systems[name] = batch.system_fields[name]
            elif is_required and name not in known:
                raise InputError(
                    f"the torch model '{self.name}' wants '{name}'; expected arguments among "
                    f"{', '.join(known)}{did_you_mean(name, known)}"
                )
        return of_atoms, of_systems


def _in_a_row(of_atoms: Fields, of_systems: Fields, slots: NDArray) -> dict[str, NDArray]:
    """The atoms of these systems, one system after the other, and which system each belongs to."""
    there = of_atoms["numbers"][slots] > 0
    return {
        **{name: array[slots][there] for name, array in of_atoms.items()},
        **{name: array[slots] for name, array in of_systems.items()},
        "batch": np.repeat(np.arange(len(slots)), there.sum(axis=1)),
    }
