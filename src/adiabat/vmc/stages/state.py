"""What a wavefunction under study is: parameters, walkers, and the state of their sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adiabat.vmc.walkers import WALKERS

PyTree = Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SamplingState:
    """What the work stages share. In a Driver every array has a leading system axis besides.

    Attributes
    ----------
    params : pytree
        Parameters of the wavefunction.
    batched_data : mapping of (walkers, ...) arrays
        The walkers, by field.
    sampler_state : mapping of `SamplerState`
        State of the sampler of each field.
    """

    # Any, because the same tree also holds shapes, and how arrays are spread.
    params: PyTree
    batched_data: Any
    sampler_state: Any

    def replace(self, **changes: Any) -> SamplingState:
        """A state with these fields changed."""
        return replace(self, **changes)

    @staticmethod
    def partition() -> SamplingState:
        """A pytree of `PartitionSpec` that is a prefix of a Driver's: walkers are spread over the devices of a mesh,
        all else is on each of them; the first axis is that of the systems."""
        everywhere = PartitionSpec()
        return SamplingState(everywhere, PartitionSpec(None, WALKERS), everywhere)


def spread(walkers: Mapping[str, Any], mesh: Mesh | None) -> Mapping[str, Any]:
    """The walkers, spread over the devices of a mesh (within a compiled program)."""
    if mesh is None:
        return walkers
    return jax.lax.with_sharding_constraint(walkers, NamedSharding(mesh, PartitionSpec(WALKERS)))
