"""Springs, sums, functions of the user's, and calculators of ASE."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones as ASELennardJones
from building import batch_of
from some_systems import check_derivatives, compare_with_ase, evaluated, every_kind, rattled

from adiabat.atoms.potentials import ASECalculator, FromFunction, Harmonic, LennardJones, Potential, SumOfPotentials

CELL = np.array([[4.0, 0.3, -0.2], [-0.4, 4.2, 0.1], [0.2, 0.5, 3.9]])


def pair_energy(positions: Any, cell: Any, mask: Any) -> Any:
    """An exponential repulsion among atoms and their nearest images, summed over 27 cells."""
    shifts = jnp.stack(jnp.meshgrid(*[jnp.arange(-1.0, 2.0)] * 3, indexing="ij"), -1).reshape(-1, 3) @ cell
    vectors = positions[:, None, None] - positions[None, :, None] + shifts
    itself = jnp.eye(len(positions), dtype=bool)[:, :, None] & (jnp.arange(27) == 13)
    counts = mask[:, None, None] & mask[None, :, None] & ~itself
    r2 = jnp.sum(vectors**2, axis=-1)
    return 0.5 * jnp.sum(jnp.where(counts, jnp.exp(-jnp.sqrt(jnp.where(itself, 1.0, r2))), 0.0))


def two_crystals() -> Any:
    first, second = rattled(np.array([[0.0, 0, 0], [2, 2, 0], [0, 2, 2]]), 0), rattled(np.array([[0.0, 1, 2]]), 1)
    return batch_of([first, None, second], [CELL, None, CELL.T])


# --- springs ------------------------------------------------------------------------------------------------


def with_sites() -> Any:
    batch = every_kind()
    moved = np.random.default_rng(3).normal(scale=0.1, size=batch.positions.shape)
    return batch.replace(atom_fields={"sites": batch.positions + moved})


def test_springs_pull_to_their_sites() -> None:
    batch = with_sites()
    result = evaluated(Harmonic(spring_constant=3.0), batch)
    stretch = np.where(np.asarray(batch.real)[..., None], batch.positions - batch.sites, 0.0)
    np.testing.assert_allclose(result.forces, -3.0 * stretch, atol=1e-13)
    np.testing.assert_allclose(result.energy, 1.5 * np.sum(stretch**2, axis=(1, 2)), rtol=1e-12)
    assert not np.any(result.stress)
    check_derivatives(Harmonic(spring_constant=3.0), batch)


def test_springs_do_not_feel_wrapping() -> None:
    batch = with_sites()
    periodic = jnp.asarray(batch.pbc, float)
    shift = jnp.einsum(
        "nk,sk,ska->sna", np.random.default_rng(0).integers(-3, 4, (batch.n_slot_atoms, 3)), periodic, batch.cell
    )
    result = evaluated(Harmonic(), batch)
    np.testing.assert_allclose(
        evaluated(Harmonic(), batch.replace(positions=batch.positions + shift)).forces, result.forces, atol=1e-11
    )
    assert jnp.abs(shift).max() > 10


def test_sites_can_be_given() -> None:
    sites = np.array([[0.0, 0, 0], [3, 0, 0]])
    batch = batch_of([sites + 0.1, None, sites - 0.2], n_slot_atoms=3)
    result = evaluated(Harmonic(sites=sites), batch)
    np.testing.assert_allclose(result.energy, [0.5 * 6 * 0.01, 0.0, 0.5 * 6 * 0.04])


# --- sums ---------------------------------------------------------------------------------------------------


def test_a_sum_adds_everything_up() -> None:
    batch = with_sites()
    first, second = (LennardJones(cutoff=r, search="all-pairs") for r in (6.0, 5.0))
    parts = [evaluated(term, batch) for term in (first, second)]
    total = evaluated(first + second, batch)
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(total, name), sum(getattr(part, name) for part in parts), atol=1e-14)
    assert (first + second).cutoff == 6.0
    assert "stress" in (first + second).gives


def test_a_sum_gives_what_all_terms_give() -> None:
    potential = LennardJones(cutoff=6.0, search="all-pairs") + Harmonic() + LennardJones(cutoff=5.0, search="all-pairs")
    assert isinstance(potential, SumOfPotentials)
    assert len(potential.terms) == 3
    assert potential.gives == {"energy", "forces"}
    assert potential.name == "Lennard-Jones + Harmonic + Lennard-Jones"
    result = evaluated(potential, with_sites())
    assert not np.any(result.stress)
    with pytest.raises(TypeError):
        LennardJones() + 1.0


def test_a_sum_is_outgrown_where_a_term_is() -> None:
    potential = LennardJones(mixing="lorentz-berthelot", cutoff=5.0, search="all-pairs") + Harmonic()
    batch = with_sites()
    stale = potential.prepare(batch).replace(numbers=every_kind((36, 36)).numbers)
    stale = jax.jit(potential.evaluate)(stale)
    np.testing.assert_array_equal(potential.outgrown(stale), np.any(batch.real, axis=1))
    grown = jax.jit(potential.evaluate)(potential.grow(stale))
    assert not np.any(potential.outgrown(grown))


# --- functions ----------------------------------------------------------------------------------------------


def test_forces_and_stress_of_a_function_are_its_derivatives() -> None:
    check_derivatives(FromFunction(pair_energy), two_crystals())


def test_a_function_that_is_a_pair_potential_gives_the_same() -> None:
    def lennard_jones(positions: Any, mask: Any) -> Any:
        counts = mask[:, None] & mask & ~jnp.eye(len(mask), dtype=bool)
        r2 = jnp.where(counts, jnp.sum((positions[:, None] - positions) ** 2, axis=-1), 1.0)
        s6 = (3.4**2 / r2) ** 3
        return 0.5 * jnp.sum(jnp.where(counts, 4 * 0.0104 * s6 * (s6 - 1), 0.0))

    batch = every_kind()
    batch = batch.replace(pbc=jnp.zeros_like(batch.pbc))
    ours = evaluated(LennardJones(cutoff=float("inf")), batch)
    theirs = evaluated(FromFunction(lennard_jones), batch)
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), atol=1e-12)
    assert np.abs(ours.stress).max() > 1e-4


def test_atoms_that_are_not_there_are_kept_apart() -> None:
    """A naive function, whose gradient is nan where any two atoms coincide."""

    def naive(positions: Any, mask: Any) -> Any:
        i, j = np.triu_indices(len(mask), 1)
        distances = jnp.linalg.norm(positions[i] - positions[j], axis=1)
        return jnp.sum(jnp.where(mask[i] & mask[j], jnp.exp(-distances), 0.0))

    corner = np.array([[0.0, 0, 0], [3, 0, 0]])  # where atoms that are not there would be
    batch = batch_of([corner, corner + 1, None], [CELL, None, None], n_slot_atoms=5)
    result = evaluated(FromFunction(naive), batch)
    np.testing.assert_allclose(result.forces[0, :2, 0], [-np.exp(-3), np.exp(-3)], rtol=1e-12)
    assert all(np.isfinite(getattr(result, name)).all() for name in ("energy", "forces", "stress"))
    assert not np.any(result.forces[:, 2:])
    np.testing.assert_allclose(result.energy, [np.exp(-3), np.exp(-3), 0.0], rtol=1e-12)


def test_a_function_that_fails_for_an_empty_cell_does_no_harm() -> None:
    def per_volume(positions: Any, cell: Any, mask: Any) -> Any:
        return jnp.sum(jnp.where(mask[:, None], positions**2, 0.0)) / jnp.linalg.det(cell)

    result = evaluated(FromFunction(per_volume), two_crystals())
    assert result.energy[1] == 0
    assert all(np.isfinite(getattr(result, name)).all() for name in ("energy", "forces", "stress"))


def test_a_function_is_given_the_fields_it_asks_for() -> None:
    def charged(positions: Any, charges: Any, field: Any, mask: Any, scale: float = 2.0) -> Any:
        return scale * jnp.sum(jnp.where(mask, charges, 0.0) * (positions @ field))

    batch = two_crystals()
    charges, field = jnp.arange(9.0).reshape(3, 3), jnp.array([[0.0, 0, 1], [9, 9, 9], [1, 0, 0]])
    batch = batch.replace(atom_fields={"charges": charges}, system_fields={"field": field})
    result = evaluated(FromFunction(charged), batch)
    np.testing.assert_allclose(result.forces[0], -2.0 * charges[0][:, None] * field[0])
    np.testing.assert_allclose(result.forces[2, 0], -2.0 * charges[2, 0] * field[2])


# --- calculators --------------------------------------------------------------------------------------------


def test_a_calculator_gives_what_it_gives() -> None:
    settings = dict(epsilon=0.0104, sigma=3.4, rc=6.0)
    result = evaluated(ASECalculator(ASELennardJones(**settings)), every_kind())
    compare_with_ase(result, lambda: ASELennardJones(**settings), tolerance=1e-15)
    native = evaluated(LennardJones(cutoff=6.0, search="all-pairs"), every_kind())
    np.testing.assert_allclose(result.energy, native.energy, rtol=1e-12)


def test_a_system_that_a_calculator_cannot_do_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    dimer = np.array([[0.0, 0, 0], [2.5, 0, 0]])
    batch = batch_of([dimer, dimer, None, dimer], numbers=[29, np.array([29, 92]), 0, 13], n_slot_atoms=4)
    potential = ASECalculator("ase.calculators.emt:EMT")
    result = evaluated(potential, batch)
    assert np.isnan(result.energy[1])
    assert np.isnan(result.forces[1, :2]).all()
    assert not np.any(result.forces[:, 2:])
    assert result.energy[2] == 0
    assert "EMT failed for a system" in caplog.text
    for slot in (0, 3):
        one = evaluated(potential, jax.tree.map(lambda leaf, slot=slot: leaf[slot : slot + 1], batch))
        np.testing.assert_array_equal(one.energy[0], result.energy[slot])
        np.testing.assert_array_equal(one.forces[0], result.forces[slot])
        assert abs(one.energy[0]) > 0.1


class Remembers(Calculator):
    """A calculator that would spoil the second of two systems, unless it is made to forget; it counts its calls."""

    implemented_properties = ("energy", "forces")
    calls = 0

    def calculate(self, atoms: Any, properties: Any, system_changes: Any) -> None:
        super().calculate(atoms, properties, system_changes)
        Remembers.calls += 1
        stale = 0.0 if set(system_changes) >= {"positions", "numbers", "cell"} else 1e3
        self.results = {"energy": float(atoms.positions.sum()) + stale, "forces": np.ones((len(atoms), 3))}


def test_each_system_is_calculated_once_and_afresh() -> None:
    atom = np.array([[1.0, 2.0, 1.0 / 3.0]])
    batch = batch_of([atom, None, atom, atom + 1])
    potential = ASECalculator(Remembers())
    prepared = potential.prepare(batch)
    Remembers.calls = 0
    result = jax.block_until_ready(jax.jit(potential.evaluate)(prepared))
    assert Remembers.calls == 3
    np.testing.assert_array_equal(result.energy, [np.sum(atom), 0.0, np.sum(atom), np.sum(atom + 1)])
    assert potential.gives == {"energy", "forces"}
    assert not np.any(result.stress)

    moved = prepared.replace(positions=prepared.positions.at[2].add(1.0))
    again = jax.block_until_ready(jax.jit(potential.evaluate)(moved))
    assert Remembers.calls == 4, "those that have not changed are left alone"
    np.testing.assert_array_equal(again.energy, [np.sum(atom), 0.0, np.sum(atom + 1), np.sum(atom + 1)])
    jax.block_until_ready(jax.jit(potential.evaluate)(potential.prepare(moved)))
    assert Remembers.calls == 7, "in another run the calculator may have other parameters"


def test_every_bit_crosses_to_a_calculator_wherever_it_is_called() -> None:
    """XLA calls back in a thread of its own, which may know nothing of 64-bit types."""
    atoms = np.random.default_rng(0).uniform(0, 1, (40, 3))
    batch = batch_of([atoms] * 100)
    potential = ASECalculator(Remembers())

    def step(batch: Any, _: Any) -> Any:
        batch = potential.evaluate(batch)
        return batch.replace(positions=batch.positions + batch.forces), batch.energy

    program = jax.jit(lambda b: jax.lax.scan(step, b, None, length=3)).lower(batch).compile()
    with jax.enable_x64(False):
        _, energies = program(batch)
    np.testing.assert_allclose(energies[0], np.sum(atoms), rtol=1e-15)
    np.testing.assert_allclose(energies[2], np.sum(atoms) + 2 * 120, rtol=1e-15)


def test_every_potential_says_what_it_is() -> None:
    for potential in (LennardJones(), Harmonic(), FromFunction(pair_energy), ASECalculator(EMT())):
        assert isinstance(potential, Potential)
        assert potential.name
        assert {"energy", "forces"} <= potential.gives
    assert FromFunction(pair_energy).name == "pair_energy"
