"""Arrays that grow: a step that does not fit into them is done again in larger ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from adiabat.engine.compiling import ProgramCache, tracing_scope
from adiabat.engine.fused import sharing_compute
from adiabat.engine.occupancy import Mask, Occupancy
from adiabat.engine.program import who_outgrew
from adiabat.engine.state import PyTree, strongly_typed

__all__ = ["Growing"]


class Growing(Occupancy):
    """Slots whose systems may need more room than there is. Programs, made for arrays of a size, are then made anew."""

    programs: ProgramCache
    _in_step: bool = False  # whether the state is a candidate

    def grow(self, outgrown: PyTree) -> None:
        """Larger arrays for the committed systems, where steps from them ended in `outgrown`, which does not fit; all
        programs are compiled anew. Where there can be no larger ones, the systems that need them fail."""
        state, too_large = self.committed, self._too_large(outgrown)
        with tracing_scope():
            systems = state.systems
            for group in sharing_compute(self.compiled):
                systems = group[0].stage.grow(systems, outgrown)
            systems = strongly_typed(systems)
        before, after = (
            (str(jax.tree.structure(tree)), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)])
            for tree in (state.systems, systems)
        )
        self._set(state.replace(systems=systems, scratch=(), metrics={}, rejected=self._nobody))
        self.committed, self._in_step = self._state, False
        if before == after:
            slots = np.flatnonzero(too_large).tolist()
            self.fail(dict.fromkeys(slots, "it needs more room than there can be made"))
            return
        self.programs = self.programs.anew()
        self._tell("grown", "arrays that were too small for a step have grown; it is done again")

    def room(self, systems: PyTree) -> dict[str, Any]:
        """How large the arrays of these systems have grown, by the sub-stages that can tell."""
        groups = sharing_compute(self.stage.sub_stages)
        found = {group[0].label: group[0].stage.room(systems) for group in groups}
        return {label: room for label, room in found.items() if room is not None}

    def make_room(self, rooms: Mapping[str, Any]) -> None:
        """Arrays as large as those of which `room` told, for systems that take the place of the present ones."""
        systems = self._state.systems
        with tracing_scope():
            for sub in self.stage.sub_stages:
                if sub.label in rooms:
                    systems = sub.stage.with_room(systems, rooms[sub.label])
            self._set(self._state.replace(systems=strongly_typed(systems)))
        self.committed = self._state
        self.programs = self.programs.anew()

    def grown(self) -> bool:
        """Whether the candidate of the step at hand does not fit into its arrays, which then have grown."""
        grown = bool(self._too_large(self._state.systems).any())
        if grown:
            self.grow(self._state.systems)
        return grown

    def _too_large(self, systems: PyTree) -> Mask:
        outgrown = who_outgrew(self.compiled, systems)
        return self._nobody if outgrown is None else np.asarray(outgrown) & self.moving
