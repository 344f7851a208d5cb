"""Models of torch as potentials."""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from building import batch_of
from some_systems import check_derivatives, evaluated, rattled

from adiabat.atoms import FIRE, FusedStage, MemorySink, SizeAwareSampler
from adiabat.atoms.batch import Batch
from adiabat.atoms.potentials import FromFunction, TorchPotential
from adiabat.errors import InputError

torch = pytest.importorskip("torch")

CELL = np.array([[4.0, 0.3, -0.2], [-0.4, 4.2, 0.1], [0.2, 0.5, 3.9]])
IMAGES = np.stack(np.meshgrid(*[np.arange(-1.0, 2.0)] * 3, indexing="ij"), -1).reshape(-1, 3)


class Repulsion(torch.nn.Module):
    """An exponential repulsion of the atoms of each system and their nearest images, summed over 27 cells."""

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = torch.nn.Parameter(torch.tensor(strength))
        self.seen: list[dict[str, Any]] = []

    def forward(self, positions: Any, cell: Any, batch: Any) -> Any:
        self.seen.append({"dtype": positions.dtype, "systems": len(cell), "atoms": len(positions)})
        shifts = torch.tensor(IMAGES, dtype=cell.dtype) @ cell
        vectors = positions[:, None, None] - positions[None, :, None] + shifts[batch][:, None]
        itself = torch.eye(len(positions), dtype=bool)[:, :, None] & (torch.arange(27) == 13)
        counts = (batch[:, None] == batch)[:, :, None] & ~itself
        r2 = torch.where(counts, torch.sum(vectors**2, dim=-1), 1.0)
        of_atoms = 0.5 * self.strength * torch.sum(torch.where(counts, torch.exp(-torch.sqrt(r2)), 0.0), dim=(1, 2))
        return of_atoms.new_zeros(len(cell)).index_add(0, batch, of_atoms)


def same_in_jax(positions: Any, cell: Any, mask: Any) -> Any:
    vectors = positions[:, None, None] - positions[None, :, None] + IMAGES @ cell
    itself = jnp.eye(len(positions), dtype=bool)[:, :, None] & (jnp.arange(27) == 13)
    counts = mask[:, None, None] & mask[None, :, None] & ~itself
    r2 = jnp.where(counts, jnp.sum(vectors**2, axis=-1), 1.0)
    return 0.5 * jnp.sum(jnp.where(counts, jnp.exp(-jnp.sqrt(r2)), 0.0))


def crystals() -> Batch:
    """Three of them and an empty slot."""
    sites = np.array([[0.0, 0, 0], [2, 2, 0], [0, 2, 2]])
    positions = [rattled(sites, 0), None, rattled(sites[:1], 1), rattled(sites[:2], 2)]
    return batch_of(positions, [CELL, None, CELL.T, 1.1 * CELL])


def per_system(values: Any, batch: Any, n_systems: int) -> Any:
    return values.new_zeros(n_systems).index_add(0, batch, values)


def test_forces_and_stress_are_derivatives_of_the_energy() -> None:
    potential = TorchPotential(Repulsion(), dtype="float64")
    check_derivatives(potential, crystals())
    ours, theirs = evaluated(potential, crystals()), evaluated(FromFunction(same_in_jax), crystals())
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-13)
    assert np.abs(ours.stress[0]).max() > 1e-3


def test_a_model_sees_float32_and_results_are_float64() -> None:
    model = Repulsion()
    result = evaluated(TorchPotential(model), crystals())
    assert {seen["dtype"] for seen in model.seen} == {torch.float32}
    exact = evaluated(FromFunction(same_in_jax), crystals())
    for name in ("energy", "forces", "stress"):
        assert getattr(result, name).dtype == np.float64
        np.testing.assert_allclose(getattr(result, name), getattr(exact, name), atol=1e-6)


def test_a_model_is_called_once_for_what_is_there_and_has_changed() -> None:
    model = Repulsion()
    potential, batch = TorchPotential(model), crystals()
    program = jax.jit(potential.evaluate)
    first = jax.block_until_ready(program(batch))
    assert [(seen["systems"], seen["atoms"]) for seen in model.seen] == [(3, 6)]

    again = jax.block_until_ready(program(batch))
    moved = jax.block_until_ready(program(batch.replace(positions=batch.positions.at[3, 0, 0].add(0.1))))
    assert [(seen["systems"], seen["atoms"]) for seen in model.seen[1:]] == [(1, 2)]
    for name in ("energy", "forces", "stress"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
        np.testing.assert_array_equal(getattr(moved, name)[:3], getattr(first, name)[:3])
        assert np.all(getattr(moved, name)[3] != 0) or name == "forces"
    assert abs(moved.energy[3] - first.energy[3]) > 1e-4
    assert not np.any(moved.forces[1])
    assert moved.energy[1] == 0


def test_a_large_batch_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    model = Repulsion()
    whole, cut = (evaluated(TorchPotential(model, atoms_at_once=n), crystals()) for n in (None, 3))
    calls = [(seen["systems"], seen["atoms"]) for seen in model.seen]
    assert [calls[0], calls[1], *sorted(calls[2:])] == [(1, 3), (3, 6), (1, 3), (1, 3), (2, 3)]
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), atol=1e-6)
    assert "failed" not in caplog.text


def test_what_a_model_gives_is_taken() -> None:
    def model(positions: Any, cell: Any, batch: Any) -> Any:
        energy = per_system(positions.sum(dim=1), batch, len(cell))
        return {"energy": energy, "forces": 2 * torch.ones_like(positions), "stress": 3 * torch.ones_like(cell)}

    result = evaluated(TorchPotential(model), crystals())
    np.testing.assert_array_equal(result.forces[0], 2.0)
    np.testing.assert_array_equal(result.stress[3], 3.0)
    assert not np.any(result.stress[1])
    without = TorchPotential(model, stress=False)
    assert "stress" not in without.gives
    assert not np.any(evaluated(without, crystals()).stress)


def test_a_model_is_given_the_fields_it_asks_for() -> None:
    def charged(positions: Any, charges: Any, field: Any, batch: Any, scale: float = 2.0) -> Any:
        return per_system(scale * charges * torch.sum(positions * field[batch], dim=1), batch, len(field))

    batch = crystals()
    charges, field = jnp.arange(12.0).reshape(4, 3), jnp.array([[0.0, 0, 1], [9, 9, 9], [1, 0, 0], [0, 1, 0]])
    batch = batch.replace(atom_fields={"charges": charges}, system_fields={"field": field})
    result = evaluated(TorchPotential(charged), batch)
    np.testing.assert_allclose(result.forces[0], -2.0 * charges[0][:, None] * field[0])
    np.testing.assert_allclose(result.forces[3, :2], -2.0 * charges[3, :2, None] * field[3])


def no_copper(positions: Any, numbers: Any, cell: Any, batch: Any) -> Any:
    if torch.any(numbers == 29):
        raise RuntimeError("no copper, please")
    return per_system(torch.sum((positions - 1.0) ** 2, dim=1), batch, len(cell))


def test_a_system_at_which_a_model_fails_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    dimer = np.array([[0.0, 0, 0], [2.5, 0, 0]])
    lost = dimer.copy()
    lost[1, 2] = np.nan
    batch = batch_of([dimer, dimer, None, lost, dimer + 1], numbers=[13, np.array([29, 13]), 0, 13, 13], n_slot_atoms=3)
    result = evaluated(TorchPotential(no_copper), batch)
    assert "no_copper failed for a system: RuntimeError: no copper, please" in caplog.text
    for slot in (1, 3):
        assert np.isnan(result.energy[slot])
        assert np.isnan(result.forces[slot, :2]).all()
        assert not np.any(result.forces[slot, 2])
    np.testing.assert_allclose(result.energy[np.array([0, 2, 4])], [7.25, 0.0, 6.25])
    np.testing.assert_allclose(result.forces[4, :2], -2.0 * dimer)


def test_the_others_are_relaxed_in_flight() -> None:
    from adiabat.atoms import AtomicData

    sites = np.array([[0.0, 0, 0], [2.5, 0, 0]])
    systems = [AtomicData(positions=sites, numbers=np.full(2, 29 if i == 3 else 13)) for i in range(8)]
    sink = MemorySink()
    fire = FIRE(TorchPotential(no_copper), convergence_hook={"key": "fmax", "threshold": 1e-3})
    fused = FusedStage([(0, fire)], sampler=SizeAwareSampler(systems), sinks=[sink], max_batch_size=3)
    assert fused.run() is None
    assert fused.ledger.counts["done"] == 7
    assert fused.ledger.counts["failed"] == 1
    np.testing.assert_allclose(sink.find(5).positions, 1.0, atol=1e-3)


def test_threads_are_as_they_were_afterwards() -> None:
    used = []

    def model(positions: Any, cell: Any, batch: Any) -> Any:
        used.append(torch.get_num_threads())
        return per_system(positions.sum(dim=1), batch, len(cell))

    before = torch.get_num_threads()
    potential = TorchPotential(model, threads=before + 1)
    potential.check(crystals())
    assert used == [before + 1]
    assert torch.get_num_threads() == before


def wrong_shape(positions: Any) -> Any:
    return positions.sum()


def detached(positions: Any, cell: Any, batch: Any) -> Any:
    return per_system(positions.detach().sum(dim=1), batch, len(cell))


def no_tensor(cell: Any) -> Any:
    return [0.0] * len(cell)


def misspelt(position: Any) -> Any:
    return position


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (wrong_shape, r"gives energies torch.float32\[\]; expected one real number a system, \[1\]"),
        (detached, "cannot be differentiated by the positions"),
        (no_tensor, "expected a tensor"),
        (misspelt, "wants 'position'.*did you mean 'positions'"),
    ],
)
def test_models_that_cannot_be_used_are_refused(model: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TorchPotential(model).check(crystals())


def test_a_model_may_be_named_with_its_arguments() -> None:
    potential = TorchPotential("torch.nn:Identity", {"size": 1})
    assert potential.name == "Identity"
    with pytest.raises(InputError, match="cannot be made with the arguments"):
        TorchPotential("torch.nn:Linear", {"in_features": 2})
    with pytest.raises(InputError, match="expected a torch module or a function"):
        TorchPotential(3.0)


def test_without_torch_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'adiabat\[chgnet\]'"):
        TorchPotential(no_copper)
