"""One structure of 64 meets not-a-number on its way: the other 63 never know."""

import jax.numpy as jnp
import numpy as np
from weak_systems import Notes, streamed

from adiabat.atoms import FIRE, AtomicData, ConvergenceHook, FromFunction

N, BAD, RADIUS = 64, 17, 0.4


def wells(positions, mask, poisoned):
    """Each atom in a well of its own, and for the poisoned nothing is known near the bottom."""
    squares = jnp.sum(jnp.where(mask[:, None], positions, 0.0) ** 2)
    energy = 0.5 * squares + 0.1 * jnp.sum(jnp.where(mask[:, None], positions, 0.0) ** 4)
    return jnp.where((poisoned > 0) & (squares < RADIUS**2), jnp.nan, energy)


def relaxed(bad):
    rng, notes = np.random.default_rng(2), Notes()
    data = [
        AtomicData(rng.normal(size=(2 + i % 3, 3)), [18] * (2 + i % 3), system_fields={"poisoned": float(i == bad)})
        for i in range(N)
    ]
    relax = FIRE(FromFunction(wells), convergence_hook=ConvergenceHook.from_fmax(1e-3))
    fused, sink = streamed([(0, relax)], data, N, hooks=[notes])
    return fused.ledger, sink, notes


def test_the_other_63_are_unchanged_to_the_bit_and_one_has_failed_with_its_last_good_structure():
    sound, expected, path = relaxed(bad=-1)
    ledger, found, _ = relaxed(bad=BAD)
    assert sound.counts["done"] == N
    assert (ledger.counts["done"], ledger.counts["failed"]) == (N - 1, 1)
    for i in range(N):
        if i != BAD:
            np.testing.assert_array_equal(found.find(i).positions, expected.find(i).positions)
            assert ledger.steps[i] == sound.steps[i]
    failed, steps = found.find(BAD), int(ledger.steps[BAD])
    assert ledger.reason(BAD).startswith("energy = nan at step")
    assert failed.info["outcome"] == "failed"
    assert 0 < steps < sound.steps[BAD]
    assert np.sum(failed.positions**2) >= RADIUS**2
    assert failed.energy == path.of(BAD)["fire", steps - 1]["energy"]
    assert path.of(BAD)["fire", steps]["energy"] < 0.5 * RADIUS**2 * (1 + 0.2 * RADIUS**2)
