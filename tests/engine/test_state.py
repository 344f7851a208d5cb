"""The state: it does not change, and its keys know nothing but the system, its age, the purpose and the attempt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.engine import Clock, State, over_systems


def state(seed=0, n_systems=3, **clock):
    start = Clock.start(seed, n_systems, 0)
    return State({"x": np.zeros((n_systems, 2))}, (), start.replace(**clock))


def data(keys):
    return np.asarray(jax.random.key_data(keys)).tolist()


@pytest.mark.parametrize("name", ["systems", "own", "unknown"])
def test_assignment_raises_and_says_to_return_a_new_state(name):
    with pytest.raises(AttributeError, match=rf"State\.{name} cannot be assigned.*return a new one.*replace\({name}"):
        setattr(state(), name, None)


def test_the_clock_does_not_change_either():
    with pytest.raises(AttributeError, match=r"Clock\.age cannot be assigned"):
        state().clock.age = 3


def test_a_state_is_a_pytree_and_stays_one():
    doubled = jax.tree.map(lambda x: x, state())
    assert isinstance(doubled, State)
    assert isinstance(doubled.clock, Clock)


def test_keys_of_systems_purposes_steps_and_attempts_all_differ():
    seen = []
    for purpose in ("pre_update", "compute", "enter train"):
        for age in (0, 1):
            for attempt in (0, 1):
                now = state(age=np.full(3, age, np.int32), attempt=np.full(3, attempt, np.int32))
                seen += [tuple(key) for key in data(now.keys(purpose))]
    assert len(set(seen)) == len(seen) == 3 * 2 * 2 * 3


def test_seeds_next_to_each_other_share_no_keys_over_many_steps():
    """Not the noise of the neighbour, one step later."""
    seen = set()
    for seed in (7, 8, 9):
        for age in range(50):
            seen |= {tuple(key) for key in data(state(seed, age=np.full(3, age, np.int32)).keys("pre_update"))}
    assert len(seen) == 3 * 50 * 3


def test_seeds_of_more_than_32_bits_differ():
    assert data(state(5).keys("a")) != data(state(5 + 2**32).keys("a"))


def test_a_systems_keys_do_not_depend_on_its_slot_or_its_neighbours():
    batch = state(system_id=np.array([4, 9, 2], np.int32), age=np.array([3, 1, 7], np.int32))
    alone = state(n_systems=1, system_id=np.array([9], np.int32), age=np.array([1], np.int32))
    assert data(batch.keys("compute"))[1] == data(alone.keys("compute"))[0]


def test_fields_of_equal_shape_get_different_noise_from_different_purposes():
    now = state(n_systems=1)
    a, b = (jax.random.normal(now.keys(f"pre_update/{field}")[0], (4,)) for field in ("electrons", "nuclei"))
    assert not np.any(np.asarray(a) == np.asarray(b))


def test_keys_do_not_depend_on_the_global_choice_of_generator():
    before = data(state().keys("compute"))
    with jax.default_prng_impl("rbg"):
        assert data(state().keys("compute")) == before


@pytest.mark.parametrize("n_systems", [1, 4])
def test_over_systems_maps_every_argument_over_the_first_axis(n_systems):
    x = np.arange(n_systems * 6, dtype=np.float32).reshape(n_systems, 2, 3)
    tree = {"scale": np.arange(1, n_systems + 1, dtype=np.float32)}
    keys = state(n_systems=n_systems).keys("a")

    def one(x, tree, key):
        assert x.shape == (2, 3)
        assert tree["scale"].shape == key.shape == ()
        return {"sum": jnp.sum(x) * tree["scale"], "key": key, "constant": 1.0}

    result = over_systems(one)(x, tree, keys)
    np.testing.assert_array_equal(result["sum"], x.sum(axis=(1, 2)) * tree["scale"])
    assert data(result["key"]) == data(keys)
    assert result["constant"].shape == (n_systems,)
