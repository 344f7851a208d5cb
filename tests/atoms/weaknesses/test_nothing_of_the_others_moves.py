"""Who does not take a step keeps every bit: positions, cell, forces, and what every integrator knows of it."""

import jax
import numpy as np
import pytest
from toy_potentials import Springs

from adiabat.atoms import FIRE, AtomicData, Batch, ConvergenceHook, NVTLangevin, NVTNoseHoover

SPRINGS = Springs()


def five():
    """Systems that converge after different numbers of steps."""
    rng = np.random.default_rng(4)
    return Batch.from_data_list(
        [AtomicData(rng.normal(size=(n, 3)), [1, 4, 1, 4, 1, 4][:n]) for n in (2, 6, 3, 4, 5)], n_slot_atoms=8
    )


def rows(tree, slot):
    """The bits of one slot."""
    return [np.asarray(leaf)[slot].tobytes() for leaf in jax.tree.leaves(tree)]


def test_resting_and_other_sub_stages_members_keep_every_bit_of_their_state():
    relax = FIRE(SPRINGS, convergence_hook=ConvergenceHook.from_fmax(0.3))
    fused = (
        relax
        + NVTNoseHoover(SPRINGS, temperature=300.0, dt=0.1, n_steps=7)
        + NVTLangevin(SPRINGS, temperature=300.0, dt=0.1, n_steps=5)
    )
    before, _ = fused.step(five())
    codes = {"fire": 0, "nvt-nose-hoover": 1, "nvt-langevin": 2}
    rested, apart, moved = 0, 0, 0
    while not fused.done:
        after, _ = fused.step(before)
        for slot in range(5):
            was, now = int(before.status[slot]), int(after.status[slot])
            if np.asarray(after.clock.age)[slot] == np.asarray(before.clock.age)[slot]:
                rested += 1
                bare = [batch.replace(clock=None, own=None) for batch in (before, after)]
                assert rows(bare[0], slot) == rows(bare[1], slot)
            else:
                moved += 1
                assert before.positions[slot].tobytes() != after.positions[slot].tobytes()
            for label, code in codes.items():
                if code not in (was, now) and label in before.own and label in after.own:
                    apart += 1
                    assert rows(before.own[label], slot) == rows(after.own[label], slot)
        before = after
    assert min(rested, apart, moved) > 20
    assert after.status.tolist() == [3] * 5


@pytest.mark.parametrize(
    "dynamics",
    [NVTNoseHoover(SPRINGS, temperature=300.0, dt=0.1), NVTLangevin(SPRINGS, temperature=300.0, dt=0.1)],
    ids=["nose-hoover", "langevin"],
)
def test_a_masked_update_moves_the_state_of_integrators_of_its_members_only(dynamics):
    batch = dynamics.run(five(), 3)
    after = dynamics.masked_update(batch, [True, False, False, True, True])
    for slot, chosen in enumerate([True, False, False, True, True]):
        seedless = [each.replace(clock=each.clock.replace(seed=())) for each in (batch, after)]
        assert (rows(seedless[0], slot) != rows(seedless[1], slot)) == chosen
        assert (rows(batch.own, slot) != rows(after.own, slot)) == chosen
