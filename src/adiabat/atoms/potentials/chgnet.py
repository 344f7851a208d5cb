"""CHGNet, a graph neural network for crystals, evaluated once for the graphs of all systems."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from adiabat.atoms.batch import Batch
from adiabat.atoms.potentials.crystal_graph import CrystalGraph, crystal_graph
from adiabat.atoms.potentials.potential import Potential
from adiabat.atoms.potentials.torch_call import import_torch
from adiabat.atoms.potentials.torch_model import TorchPotential
from adiabat.config import check_settings, setting
from adiabat.errors import InputError

HEAVIEST = 94
"""Atomic number up to which the network knows elements."""

LANES = 64
"""Torch calculates so many numbers at a time, or a part of this."""


@dataclass(frozen=True, eq=False)
class CHGNet(Potential):
    """The Crystal Hamiltonian Graph Neural Network, with the weights that come with its package.

    All systems are one graph, which goes through the network once, forwards and backwards; where they have more than
    ``atoms_at_once`` atoms, a few graphs one after the other. Bonds and angles are found anew at every step: that takes
    a hundredth of the passes. The network calculates in float32; differences of positions, and sums over the atoms of a
    system, are taken in float64, so that energies of a system alone and in a batch agree to about 1e-6 eV.

    A system in which an atom has no neighbor within 6 angstrom fails.

    Deng, Zhong, Jun, Riebesell, Han, Bartel and Ceder, Nature Machine Intelligence 5, 1031 (2023).

    Raises
    ------
    InputError
        If the package is not installed; from `check` for systems without a cell, and elements that it does not know.
    """

    version: Literal["0.3.0", "r2scan"] = setting("0.3.0", help="weights: of PBE energies, or of r2SCAN energies")
    device: str = setting("cpu", help="where it calculates, as torch calls it: cpu, cuda, cuda:1")
    threads: int | None = setting(None, min=1, help="threads of torch on a CPU; null: as torch is set")
    atoms_at_once: int | None = setting(512, min=1, help="about so many atoms a pass, 3 MB each; null: all")
    _torch: TorchPotential = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_settings(self)
        network = CrystalNetwork(_loaded(self.version).to(self.device))
        inner = TorchPotential(
            network, dtype="float64", device=self.device, threads=self.threads, atoms_at_once=self.atoms_at_once
        )
        object.__setattr__(self, "_torch", inner)

    @property
    def network(self) -> CrystalNetwork:
        """The network as a function of systems in a row."""
        return self._torch.model

    @property
    def cutoff(self) -> float:
        """Of bonds, in angstrom; what atoms feel goes four times as far."""
        return self.network.cutoff

    def check(self, batch: Batch) -> None:
        """Raise `InputError` for systems without a cell and elements that the network does not know."""
        numbers, volume = np.asarray(batch.numbers), np.abs(np.linalg.det(np.asarray(batch.cell)))
        for slot in np.flatnonzero(numbers.any(axis=1)):
            if numbers[slot].max() > HEAVIEST:
                raise InputError(
                    f"CHGNet: the system in slot {slot} has an atom of number {numbers[slot].max()}; "
                    f"expected elements up to plutonium, {HEAVIEST}"
                )
            if not volume[slot] > 0:
                raise InputError(
                    f"CHGNet is for crystals, and the system in slot {slot} has no cell with a volume; put it into a "
                    "box, as by atoms.center(vacuum=8) of ASE"
                )

    def evaluate(self, batch: Batch) -> Batch:
        """The batch with energy, forces and stress from a call to the host."""
        return self._torch.evaluate(batch)


class CrystalNetwork:
    """A network of the package as a function for `TorchPotential`."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.cutoff = float(network.graph_converter.atom_graph_cutoff)
        self.angle_cutoff = float(network.graph_converter.bond_graph_cutoff)

    def __call__(self, positions: Any, numbers: Any, cell: Any, pbc: Any, batch: Any) -> Any:
        """Energies (S,) of systems in eV, float64."""
        arrays = (each.detach().cpu().numpy() for each in (positions, cell, pbc, batch))
        graph = crystal_graph(*arrays, cutoff=self.cutoff, angle_cutoff=self.angle_cutoff)
        return self.energies(graph, positions, numbers, cell, batch)

    def energies(self, graph: CrystalGraph, positions: Any, numbers: Any, cell: Any, batch: Any) -> Any:
        """The same of systems whose graph is known."""
        torch = import_torch()
        found = self.network._compute(self._features(graph, positions, numbers, cell, batch), return_site_energies=True)
        of_atoms = torch.cat(found["site_energies"]).double()
        of_elements = self.network.composition_model.fc.weight.detach()[0].double()
        return of_atoms.new_zeros(len(cell)).index_add(0, batch, of_atoms + of_elements[numbers - 1])

    def _features(self, graph: CrystalGraph, positions: Any, numbers: Any, cell: Any, batch: Any) -> Any:
        """What the network takes in: distances and angles in the bases of its first layers."""
        torch = import_torch()
        from chgnet.model.model import BatchedGraph

        def indices(array: Any) -> Any:
            return torch.as_tensor(array, dtype=torch.int64, device=positions.device)

        network, n_bonds = self.network, len(graph.first)
        first, second, apex, sides = map(indices, (graph.first, graph.second, graph.apex, graph.sides))
        images = torch.as_tensor(graph.images, dtype=cell.dtype, device=cell.device)
        displaced = torch.bmm(images[:, None], cell[batch[first]])[:, 0]
        vectors = (positions[first] - positions[second] - displaced).float()
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        # Torch raises the last few numbers of an array to a power in another way than those before them.
        padded = torch.nn.functional.pad(lengths, (0, -n_bonds % LANES), value=1.0)
        units = vectors / lengths[:, None]
        there_and_back = torch.cat([units, -units])
        return BatchedGraph(
            atomic_numbers=numbers,
            bond_bases_ag=network.bond_basis_expansion.rbf_expansion_ag(padded)[:n_bonds],
            bond_bases_bg=network.bond_basis_expansion.rbf_expansion_bg(padded)[:n_bonds],
            angle_bases=network.angle_basis_expansion(there_and_back[sides[:, 0]], there_and_back[sides[:, 1]]),
            batched_atom_graph=torch.stack([torch.cat([first, second]), torch.cat([second, first])], dim=1),
            batched_bond_graph=torch.cat([apex[:, None], sides % n_bonds], dim=1),
            atom_owners=batch,
            directed2undirected=torch.arange(n_bonds, device=positions.device).repeat(2),
            atom_positions=(),
            strains=(),
            volumes=(),
        )


def _loaded(version: str) -> Any:
    """The network of the package, whose weights stay as they are."""
    import_torch()
    try:
        # The package greets on the standard output, and what it imports may warn.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from chgnet.model.model import CHGNet as Network

            return Network.load(model_name=version, use_device="cpu", verbose=False).requires_grad_(False)
    except ImportError as error:
        raise InputError(
            f"CHGNet cannot be imported ({error}): install it with `pip install 'adiabat[chgnet]'`"
        ) from error
