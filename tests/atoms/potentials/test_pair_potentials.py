"""Pair potentials: values against ASE and by hand, derivatives, and what must hold for every batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.calculators.lj import LennardJones as ASELennardJones
from ase.calculators.morse import MorsePotential
from building import batch_of
from some_systems import atoms_of, check_derivatives, compare_with_ase, evaluated, every_kind, fcc

from adiabat.atoms.potentials import LennardJones, Morse, PairPotential, SoftSphere
from adiabat.atoms.potentials.lennard_jones import NOBLE_GASES

EPSILON, SIGMA = NOBLE_GASES[18]
SEARCHES = ("all-pairs", "list")
MIXTURE = (18, 36, 36)


def two_elements(kind: str) -> PairPotential:
    match kind:
        case "lennard-jones":
            given = {("Ar", "Kr"): (0.009, 3.6)}
            return LennardJones(pairs=given, cutoff=6.1, truncation="switch", search="all-pairs")
        case "morse":
            given = {"Ar": (0.01, 1.6, 3.8), "Ar-Kr": (0.02, 1.5, 3.9), "Kr": (0.03, 1.4, 4.0)}
            return Morse(pairs=given, cutoff=6.1, truncation="switch", onset=4.0, search="all-pairs")
        case _:
            given = {"Ar": (0.5, 4.4), "Ar-Kr": (0.6, 4.6), "Kr": (0.7, 5.1)}
            return SoftSphere(pairs=given, alpha=2.5, search="all-pairs")


KINDS = ("lennard-jones", "morse", "soft-sphere")


# --- values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", SEARCHES)
def test_lennard_jones_is_that_of_ase_under_any_periodicity(search: str) -> None:
    result = evaluated(LennardJones(cutoff=6.7, search=search), every_kind())
    compare_with_ase(result, lambda: ASELennardJones(epsilon=EPSILON, sigma=SIGMA, rc=6.7))


def test_the_switch_is_that_of_ase() -> None:
    result = evaluated(LennardJones(cutoff=6.7, truncation="switch", onset=4.2), every_kind())
    compare_with_ase(result, lambda: ASELennardJones(epsilon=EPSILON, sigma=SIGMA, rc=6.7, ro=4.2, smooth=True))


@pytest.mark.parametrize("search", SEARCHES)
def test_morse_is_that_of_ase(search: str) -> None:
    depth, steepness, distance, cutoff = 0.05, 1.3, 3.7, 6.4
    given = {"Ar": (depth, steepness, distance)}
    result = evaluated(Morse(pairs=given, cutoff=cutoff, truncation="none", search=search), every_kind())
    reduced = cutoff / distance
    reference = dict(epsilon=depth, rho0=steepness * distance, r0=distance, rcut1=reduced - 1e-9, rcut2=reduced)
    compare_with_ase(result, lambda: MorsePotential(**reference))


def test_pairs_of_elements_have_their_own_parameters() -> None:
    batch = every_kind(MIXTURE)
    for kind in KINDS:
        potential = two_elements(kind)
        result = evaluated(potential, batch)
        atoms = atoms_of(batch, 0)  # the cluster
        energy = 0.0
        for i in range(len(atoms)):
            for j in range(i):
                pair = tuple(sorted((int(atoms.numbers[i]), int(atoms.numbers[j]))))
                r = atoms.get_distance(i, j)
                if r < potential.cutoff:
                    energy += float(potential.truncated(jnp.asarray(r**2), *potential.parameters_of(pair))[0])
        np.testing.assert_allclose(result.energy[0], energy, rtol=1e-12)


def test_lists_and_all_pairs_agree_for_two_elements() -> None:
    batch = every_kind(MIXTURE)
    results = [evaluated(LennardJones(mixing="lorentz-berthelot", cutoff=7.0, search=s), batch) for s in SEARCHES]
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(results[0], name), getattr(results[1], name), atol=1e-13)


def test_depth_and_place_of_the_minimum() -> None:
    wells = NOBLE_GASES.values()
    dimers = batch_of(
        [np.array([[0, 0, 0], [0, 0, 2 ** (1 / 6) * sigma]]) for _, sigma in wells], numbers=[*NOBLE_GASES]
    )
    result = evaluated(LennardJones(cutoff=100.0, truncation="none"), dimers)
    np.testing.assert_allclose(result.energy, [-epsilon for epsilon, _ in wells], rtol=1e-14)
    np.testing.assert_allclose(result.forces, 0.0, atol=1e-14)
    dimer = batch_of([np.array([[0.0, 0, 0], [0, 3.9, 0]])])
    result = evaluated(Morse(pairs={"Ar": (0.3, 1.1, 3.9)}, truncation="none"), dimer)
    np.testing.assert_allclose(result.energy, -0.3, rtol=1e-14)
    np.testing.assert_allclose(result.forces, 0.0, atol=1e-14)


def test_soft_spheres_push_where_they_overlap_only() -> None:
    potential = SoftSphere(pairs={"Ar": (0.8, 4.0)})
    near, far = (batch_of([np.array([[0.0, 0, 0], [r, 0, 0]])]) for r in (3.0, 4.1))
    result = evaluated(potential, near)
    np.testing.assert_allclose(result.energy, 0.4 * 0.25**2)
    np.testing.assert_allclose(result.forces[0, :, 0], [-0.8 / 4 * 0.25, 0.8 / 4 * 0.25])
    assert not np.any(evaluated(potential, far).forces)


def test_truncations_differ_as_they_say() -> None:
    r2 = jnp.asarray([3.9**2, 5.999999**2])
    u = {t: LennardJones(cutoff=6.0, truncation=t) for t in ("none", "shift", "switch")}
    parameters = {t: tuple(v[0, 0] for v in p.tables((18,))) for t, p in u.items()}
    energy = {t: p.truncated(r2, *parameters[t])[0] for t, p in u.items()}
    np.testing.assert_allclose(energy["none"] - energy["shift"], energy["none"][1], rtol=1e-5)
    np.testing.assert_allclose(energy["switch"][0], energy["none"][0], rtol=1e-15)
    assert abs(energy["switch"][1]) < 1e-12 < abs(energy["none"][1])


def test_mixing_by_lorentz_and_berthelot() -> None:
    mixed = LennardJones(mixing="lorentz-berthelot", pairs={("Ar", "Xe"): (0.5, 3.0)})
    (e1, s1), (e2, s2) = NOBLE_GASES[10], NOBLE_GASES[36]
    assert mixed.parameters_of((10, 36)) == pytest.approx(((e1 * e2) ** 0.5, (s1 + s2) / 2))
    assert mixed.parameters_of((18, 54)) == (0.5, 3.0)  # given ones go first
    assert LennardJones(pairs={"Ar": (0.5, 3.0)}).parameters_of((18, 18)) == (0.5, 3.0)
    assert LennardJones().parameters_of((10, 36)) is None


# --- derivatives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_forces_and_stress_are_derivatives_of_the_energy(kind: str) -> None:
    check_derivatives(two_elements(kind), every_kind(MIXTURE))


@pytest.mark.parametrize("kind", KINDS)
def test_analytic_forces_are_the_automatic_ones(kind: str) -> None:
    potential, batch = two_elements(kind), every_kind(MIXTURE)
    prepared = potential.prepare(batch)
    automatic = jax.jit(jax.grad(lambda x: -jnp.sum(potential.evaluate(prepared.replace(positions=x)).energy)))
    forces = evaluated(potential, batch).forces
    np.testing.assert_allclose(forces, automatic(batch.positions), atol=1e-13)


# --- every batch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_atoms_that_are_not_there_have_nothing(kind: str) -> None:
    batch = every_kind(MIXTURE)
    result = evaluated(two_elements(kind), batch)
    assert np.all(np.asarray(result.forces)[~np.asarray(batch.real)] == 0)
    empty = 6
    assert not batch.real[empty].any()
    assert result.energy[empty] == 0
    assert np.all(result.stress[empty] == 0)
    assert all(np.isfinite(getattr(result, name)).all() for name in ("energy", "forces", "stress"))


@pytest.mark.parametrize("kind", KINDS)
def test_coincident_atoms_spoil_their_own_system_only(kind: str) -> None:
    batch = every_kind(MIXTURE)
    good = evaluated(two_elements(kind), batch)
    bad = evaluated(two_elements(kind), batch.replace(positions=batch.positions.at[1, 3].set(batch.positions[1, 0])))
    assert not np.isfinite(bad.forces[1]).all()
    others = np.arange(batch.n_systems) != 1
    for name in ("energy", "forces", "stress"):
        np.testing.assert_array_equal(getattr(bad, name)[others], getattr(good, name)[others])


@pytest.mark.parametrize("search", SEARCHES)
def test_neighbors_in_the_batch_do_not_change_a_bit(search: str) -> None:
    potential = LennardJones(mixing="lorentz-berthelot", cutoff=6.5, search=search)
    batch = every_kind(MIXTURE)
    prepared = potential.prepare(batch)
    compute = jax.jit(potential.evaluate)
    together = compute(prepared)
    order = np.roll(np.arange(batch.n_systems), 3)
    elsewhere = compute(jax.tree.map(lambda leaf: leaf[order], prepared))
    for name in ("energy", "forces", "stress"):
        np.testing.assert_array_equal(getattr(elsewhere, name), getattr(together, name)[order])
    for slot in (0, 2, 3, 7):
        keep = np.arange(batch.n_systems) == slot
        alone = compute(jax.tree.map(lambda x, keep=keep: jnp.where(_along(keep, x), x, jnp.zeros_like(x)), prepared))
        for name in ("energy", "forces", "stress"):
            np.testing.assert_array_equal(getattr(alone, name)[slot], getattr(together, name)[slot])


def _along(mask: np.ndarray, values: jax.Array) -> np.ndarray:
    return mask.reshape(-1, *[1] * (values.ndim - 1))


def test_one_element_needs_no_table() -> None:
    """Of as many numbers as there are pairs, none is looked up."""

    def n_gathered(numbers: int | tuple[int, ...]) -> int:
        batch = potential.prepare(every_kind(numbers))
        lines = str(jax.make_jaxpr(potential.evaluate)(batch)).splitlines()
        s, n = batch.numbers.shape
        return sum(f"f64[{s},{n}," in line and "= gather" in line for line in lines)

    potential = LennardJones(cutoff=6.0, search="all-pairs", mixing="lorentz-berthelot")
    assert n_gathered(MIXTURE) == 3  # epsilon, sigma, and the energy at the cutoff
    assert n_gathered(18) == 0


def test_small_slots_look_at_all_pairs_and_large_ones_have_a_list() -> None:
    def is_list(potential: LennardJones, batch: object) -> bool:
        return type(potential.prepare(batch).neighbors.search).__name__ == "NeighborList"

    positions, cell = fcc((3, 3, 3), 0)
    cluster = batch_of([positions[:32]])
    assert not is_list(LennardJones(), cluster)
    assert is_list(LennardJones(search="list"), cluster)
    assert is_list(LennardJones(), batch_of([positions], [cell]))
    assert not is_list(LennardJones(search="all-pairs"), batch_of([positions], [cell]))


# --- room that is outgrown ----------------------------------------------------------------------------------


def test_a_new_element_is_noticed_and_room_is_made() -> None:
    potential = LennardJones(mixing="lorentz-berthelot", cutoff=6.0, search="all-pairs")
    prepared = potential.prepare(every_kind())
    mixture = every_kind(MIXTURE)
    stale = jax.jit(potential.evaluate)(prepared.replace(numbers=mixture.numbers))
    outgrown = np.asarray(potential.outgrown(stale))
    has_krypton = np.asarray(jnp.any(mixture.numbers == 36, axis=1))
    np.testing.assert_array_equal(outgrown, has_krypton)
    grown = jax.jit(potential.evaluate)(potential.grow(stale))
    assert not np.any(potential.outgrown(grown))
    np.testing.assert_allclose(grown.forces, evaluated(potential, mixture).forces, atol=1e-13)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_cell_that_shrinks_is_noticed_and_room_is_made(search: str) -> None:
    potential = LennardJones(cutoff=5.0, search=search)
    positions, cell = fcc((2, 2, 2), 1)
    wide = batch_of([positions, positions], [cell, cell])
    narrow = wide.replace(positions=wide.positions.at[1].multiply(0.7), cell=wide.cell.at[1].multiply(0.7))
    prepared = potential.prepare(wide)
    stale = jax.jit(potential.evaluate)(narrow.replace(neighbors=prepared.neighbors))
    np.testing.assert_array_equal(potential.outgrown(stale), [False, True])
    grown = jax.jit(potential.evaluate)(potential.grow(stale))
    assert not np.any(potential.outgrown(grown))
    compare_with_ase(grown, lambda: ASELennardJones(epsilon=EPSILON, sigma=SIGMA, rc=5.0))
    # The same from the earlier state, to which an engine goes back.
    earlier = potential.grow(prepared, stale)
    np.testing.assert_array_equal(earlier.cell, wide.cell)
    again = jax.jit(potential.evaluate)(narrow.replace(neighbors=earlier.neighbors))
    np.testing.assert_array_equal(again.forces, grown.forces)
