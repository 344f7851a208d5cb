"""Where the arrays of a state live when a run uses several devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adiabat.engine.fused import SubStage
from adiabat.engine.program import Advanced, Entered
from adiabat.engine.state import PyTree, State

__all__ = ["Placement"]


class Placement:
    """Shardings of programs, made of what the stages say in `partition`. Without a mesh: one device, and no
    shardings.

    They are fixed for every program, so that results do not depend on what a compiler would have chosen this
    time.
    """

    def __init__(self, mesh: Mesh | None) -> None:
        self.mesh = mesh

    def systems(self, sub: SubStage, systems: PyTree) -> PyTree:
        """The systems, moved to where `sub` wants them."""
        if self.mesh is None:
            return systems
        return jax.device_put(systems, self._named(sub.stage.partition()[0]))

    def rows(self, sub: SubStage, own: PyTree) -> PyTree:
        """Private rows, moved to where `sub` wants them."""
        return own if self.mesh is None else jax.device_put(own, self._named(sub.stage.partition()[1]))

    def advance(self, subs: Sequence[SubStage]) -> dict[str, Any]:
        """Arguments of `jax.jit` for the program that advances."""
        if self.mesh is None:
            return {}
        state, everywhere = self._state(subs), self._named(PartitionSpec())
        result = Advanced(state, everywhere, everywhere, everywhere, everywhere)
        return {"in_shardings": (state, everywhere), "out_shardings": result}

    def enter(self, sub: SubStage) -> dict[str, Any]:
        """Arguments of `jax.jit` for the program that enters a sub-stage."""
        if self.mesh is None:
            return {}
        systems, own = (self._named(spec) for spec in sub.stage.partition())
        everywhere = self._named(PartitionSpec())
        return {"out_shardings": Entered(systems, own, everywhere, everywhere, everywhere)}

    def phase(self, phase: str, subs: Sequence[SubStage]) -> dict[str, Any]:
        """Arguments of `jax.jit` for a part of a step: what it commits has to be where `advance` expects it."""
        if self.mesh is None or phase not in ("commit", "conclude"):
            return {}
        state = self._state(subs)
        return {"out_shardings": state if phase == "commit" else (self._named(PartitionSpec()), state)}

    def _state(self, subs: Sequence[SubStage]) -> State:
        everywhere = self._named(PartitionSpec())
        specs = {sub.label: sub.stage.partition() for sub in subs}
        return State(
            systems=self._named(specs[subs[0].label][0]),
            own={label: self._named(own) for label, (_, own) in specs.items()},
            clock=everywhere,
            scratch=everywhere,
            metrics=everywhere,
            rejected=everywhere,
        )

    def _named(self, specs: PyTree) -> PyTree:
        assert self.mesh is not None
        mesh = self.mesh
        return jax.tree.map(
            lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda x: isinstance(x, PartitionSpec)
        )
