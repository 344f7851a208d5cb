"""CHGNet against its own calculator for ASE: graphs, energies, silicon, relaxations in flight."""

from __future__ import annotations

from typing import Any

import ase.io
import jax
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE as ASEFire
from building import batch_of
from some_systems import evaluated

from adiabat.atoms import (
    FIRE,
    NVE,
    Batch,
    ConvergenceHook,
    FrechetCell,
    FusedStage,
    MemorySink,
    SizeAwareSampler,
    from_ase,
    read_data,
)
from adiabat.atoms.potentials import CHGNet
from adiabat.atoms.potentials.crystal_graph import crystal_graph
from adiabat.errors import InputError
from bench.chgnet_relaxations import LATTICES, rattled_crystals

torch = pytest.importorskip("torch")
pytest.importorskip("pymatgen")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")]
"""The package warns of what it does itself."""

FLOAT32 = 2e-5
"""What float32 leaves of energies of tens of eV, in eV, and of forces in eV/angstrom."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """So that sums are taken in one order, and other programs on the machine do no harm."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def potential() -> CHGNet:
    return CHGNet()


@pytest.fixture(scope="module")
def calculator(potential: CHGNet) -> Any:
    """Of the same network."""
    from chgnet.model import CHGNetCalculator

    return CHGNetCalculator(model=potential.network.network, use_device="cpu")


def crystals() -> list[Atoms]:
    """Rattled, strained, left-handed, with atoms far outside of their cells, a slab, a cell of a single atom."""
    found = [bulk(name, kind, **lattice) for name, kind, lattice in LATTICES[:5]]
    found += [bulk("Fe", "bcc", 2.87, cubic=True) * (2, 1, 1), bulk("NaCl", "rocksalt", 5.64, cubic=True)]
    for seed, atoms in enumerate(found):
        rng = np.random.default_rng(seed)
        atoms.rattle(0.1, seed=seed)
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.05 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.integers(-3, 3, (len(atoms), 3)) @ atoms.cell
    found[1].set_cell(found[1].cell[[1, 0, 2]])
    slab = fcc111("Al", (1, 2, 3), vacuum=5.0)
    slab.rattle(0.05, seed=9)
    return [*found, slab]


def batch_from(structures: list[Atoms]) -> Batch:
    return Batch.from_data_list([from_ase(atoms) for atoms in structures])


# --- one evaluation -----------------------------------------------------------------------------------------


def test_bonds_and_angles_are_those_of_its_own_graph(potential: CHGNet) -> None:
    from pymatgen.io.ase import AseAtomsAdaptor

    network = potential.network
    for atoms in crystals():
        of_one = np.zeros(len(atoms), int)
        ours = crystal_graph(
            atoms.positions, atoms.cell[None], atoms.pbc[None], of_one,
            cutoff=network.cutoff, angle_cutoff=network.angle_cutoff,
        )  # fmt: skip
        theirs = network.network.graph_converter(AseAtomsAdaptor.get_structure(atoms))
        directions = np.concatenate([_vectors(ours, atoms), -_vectors(ours, atoms)])
        first, second = theirs.atom_graph.T.numpy()
        their_directions = atoms.positions[first] - atoms.positions[second] - theirs.neighbor_image.numpy() @ atoms.cell
        np.testing.assert_allclose(_in_order(directions), _in_order(their_directions), atol=1e-9)
        angles = np.concatenate(
            [directions[ours.sides[:, 0]], directions[ours.sides[:, 1]], ours.apex[:, None]], axis=1
        )
        apex, _, one, _, other = theirs.bond_graph.T.numpy()
        their_angles = np.concatenate([their_directions[one], their_directions[other], apex[:, None]], axis=1)
        np.testing.assert_allclose(_in_order(angles), _in_order(their_angles), atol=1e-9)
    assert len(angles) > 100


def _vectors(graph: Any, atoms: Atoms) -> np.ndarray:
    return atoms.positions[graph.first] - atoms.positions[graph.second] - graph.images @ atoms.cell[:]


def _in_order(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(np.round(rows, 6).T)]


def test_energies_forces_and_stresses_are_those_of_its_own_calculator(potential: CHGNet, calculator: Any) -> None:
    structures = crystals()
    result = evaluated(potential, batch_from(structures))
    for slot, atoms in enumerate(structures):
        n = len(atoms)
        atoms.calc = calculator
        assert result.energy[slot] == pytest.approx(atoms.get_potential_energy(), abs=FLOAT32)
        np.testing.assert_allclose(result.forces[slot, :n], atoms.get_forces(), atol=5 * FLOAT32)
        # The package divides by a volume that is negative for left-handed cells.
        stress = atoms.get_stress(voigt=False) * np.sign(atoms.cell.handedness)
        np.testing.assert_allclose(result.stress[slot], stress, atol=FLOAT32)
        assert not np.any(result.forces[slot, n:])
    assert np.abs(result.forces).max() > 1
    assert np.abs(result.stress).max() > 0.05


def test_other_weights_are_those_of_their_version() -> None:
    from chgnet.model import CHGNetCalculator
    from chgnet.model.model import CHGNet as Network

    potential, atoms = CHGNet(version="r2scan"), crystals()[2]
    result = evaluated(potential, batch_from([atoms]))
    atoms.calc = CHGNetCalculator(model=Network.load(model_name="r2scan", use_device="cpu"), use_device="cpu")
    assert result.energy[0] == pytest.approx(atoms.get_potential_energy(), abs=FLOAT32)


def test_systems_that_it_does_not_know_are_refused(potential: CHGNet) -> None:
    atom, cell = np.zeros((1, 3)), 3.0 * np.eye(3)
    with pytest.raises(InputError, match="slot 1 has an atom of number 96; expected elements up to plutonium, 94"):
        potential.check(batch_of([atom, atom], [cell, cell], numbers=[94, 96]))
    with pytest.raises(InputError, match="slot 1 has no cell with a volume; put it into a box"):
        potential.check(batch_of([atom, atom], [cell, None]))
    potential.check(batch_of([atom, None], [cell, None]))


def test_a_system_with_an_isolated_atom_fails_alone(potential: CHGNet, caplog: pytest.LogCaptureFixture) -> None:
    silicon = bulk("Si", "diamond", 5.43)
    apart = Atoms("H2", positions=[[0, 0, 0], [9, 0, 0]], cell=18 * np.eye(3), pbc=True)
    together, alone = (evaluated(potential, batch_from(s)) for s in ([silicon, apart, silicon], [silicon]))
    assert np.isnan(together.energy[1])
    assert np.isnan(together.forces[1]).all()
    np.testing.assert_allclose(together.energy[np.array([0, 2])], alone.energy[0], atol=FLOAT32)
    assert "2 atoms have no neighbor within 6 angstrom" in caplog.text


# --- runs ---------------------------------------------------------------------------------------------------


def test_a_trajectory_does_not_know_its_neighbors(potential: CHGNet) -> None:
    structures = crystals()[:6]
    start = batch_from(structures)

    def energies(batch: Batch) -> np.ndarray:
        dynamics, found = NVE(potential, dt=1.0), []
        for _ in range(20):
            batch, _ = dynamics.step(batch)
            found.append(np.asarray(batch.energy))
        return np.array(found)

    together = energies(start)
    for slot in (0, 5):
        alone = energies(jax.tree.map(lambda leaf, slot=slot: leaf[slot : slot + 1], start))
        np.testing.assert_allclose(alone[:, 0], together[:, slot], atol=1e-5)
        assert np.ptp(alone) > 1e-2


def test_silicon_has_the_lattice_constant_and_bulk_modulus_of_ase(potential: CHGNet, calculator: Any) -> None:
    """Both from energies of seven volumes, and the lattice constant from a relaxation of the cell as well."""
    structures = [bulk("Si", "diamond", a) for a in np.linspace(5.3, 5.6, 7)]
    volumes = [atoms.get_volume() for atoms in structures]
    ours = np.asarray(evaluated(potential, batch_from(structures)).energy)
    for atoms in structures:
        atoms.calc = calculator
    theirs = [atoms.get_potential_energy() for atoms in structures]
    (volume, _, modulus), (their_volume, _, their_modulus) = (
        EquationOfState(volumes, energies, "birchmurnaghan").fit() for energies in (ours, theirs)
    )
    a, their_a = ((4 * each) ** (1 / 3) for each in (volume, their_volume))
    assert a == pytest.approx(their_a, abs=1e-4)
    assert modulus / units.GPa == pytest.approx(their_modulus / units.GPa, abs=0.2)
    # PBE has 5.47 angstrom and 89 GPa; this network is near them.
    assert a == pytest.approx(5.47, abs=0.03)
    assert 60 < modulus / units.GPa < 120


def test_a_cell_of_silicon_relaxes_to_the_lattice_constant_of_ase(potential: CHGNet, calculator: Any) -> None:
    """Which is 0.01 angstrom from the one above: near it the network's energy is no parabola."""
    atoms = bulk("Si", "diamond", 5.3)
    criteria = [{"key": key, "threshold": 2e-3} for key in ("fmax", "cell_force")]
    fire = FIRE(potential, cell=FrechetCell(), convergence_hook=ConvergenceHook(criteria))
    relaxed = fire.run(batch_from([atoms]), 300)
    assert np.asarray(relaxed.status) == [1]
    atoms.calc = calculator
    ASEFire(FrechetCellFilter(atoms), logfile=None).run(fmax=2e-3, steps=300)
    np.testing.assert_allclose(relaxed.cell[0], atoms.cell, atol=1e-3)
    assert (4 * atoms.get_volume()) ** (1 / 3) == pytest.approx(5.461, abs=2e-3)


def test_crystals_from_a_file_relax_in_flight_to_the_energies_of_ase(
    potential: CHGNet, calculator: Any, tmp_path: Any
) -> None:
    path, sink = tmp_path / "rattled.extxyz", MemorySink()
    ase.io.write(path, rattled_crystals())
    fire = FIRE(potential, convergence_hook=ConvergenceHook.from_fmax(0.05))
    sampler = SizeAwareSampler(list(read_data(path)))
    fused = FusedStage([(0, fire)], sampler=sampler, sinks=[sink], max_batch_size=32)
    assert fused.run() is None
    assert fused.ledger.counts["done"] == 100
    for i, atoms in enumerate(ase.io.iread(path)):
        atoms.calc = calculator
        optimizer = ASEFire(atoms, logfile=None)
        optimizer.run(fmax=0.05, steps=1000)
        found = sink.find(i)
        assert found.energy / len(atoms) == pytest.approx(atoms.get_potential_energy() / len(atoms), abs=1e-3)
        assert abs(found.info["steps"] - optimizer.nsteps) <= 1
