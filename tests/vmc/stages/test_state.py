"""The state that the work stages share."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from vmc_toys import Exponential, systems

from adiabat.vmc import MCMCSampler, SamplingState
from adiabat.vmc.stages.state import spread
from adiabat.vmc.walkers import WALKERS

STATE = systems(Exponential(), MCMCSampler(walkers=6))


def test_it_is_a_pytree_that_changes_only_by_making_another():
    assert jax.tree.structure(jax.tree.map(np.negative, STATE)) == jax.tree.structure(STATE)
    changed = STATE.replace(params={"a": 2.0})
    assert (changed.params, changed.batched_data) == ({"a": 2.0}, STATE.batched_data)
    with pytest.raises(AttributeError):
        STATE.params = {}


def test_only_the_walkers_are_spread_over_devices():
    """Behind the axis of the systems."""
    specs = SamplingState.partition()
    is_spec = lambda x: isinstance(x, PartitionSpec)  # noqa: E731
    named = jax.tree.map(lambda spec, part: jax.tree.map(lambda _: spec, part), specs, STATE, is_leaf=is_spec)
    assert named.batched_data == {"electrons": PartitionSpec(None, WALKERS)}
    assert jax.tree.leaves((named.params, named.sampler_state), is_leaf=is_spec) == [PartitionSpec()] * 2


def test_without_a_mesh_nothing_is_spread():
    assert spread(STATE.batched_data, None) is STATE.batched_data
