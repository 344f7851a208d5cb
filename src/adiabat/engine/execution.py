"""The state of a run and the programs that move it: no callbacks here, no loop, no files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from adiabat.engine.compiling import ProgramCache, Tell, tracing_scope
from adiabat.engine.fused import FusedStage, Renewable, SubStage
from adiabat.engine.growing import Growing
from adiabat.engine.memory import MemoryUse, memory_use
from adiabat.engine.occupancy import Mask
from adiabat.engine.program import AROUND_COMPUTE, Advanced, Entered, Lookers, require_same
from adiabat.engine.stage import Stage
from adiabat.engine.state import CONVERGED, FAILED, VACANT, Clock, PyTree, State, strongly_typed
from adiabat.engine.timings import Timings
from adiabat.errors import InputError

__all__ = ["Chunk", "Execution"]


class Chunk(NamedTuple):
    """Steps that were committed, and perhaps one after them that was rejected."""

    subs: tuple[SubStage, ...]  # whose step it was
    n_steps: int  # steps committed
    rows: Callable[[], dict[str, np.ndarray]]  # metrics (rows, S, ...); after the committed ones, the rejected one
    seconds: float  # wall time of one step
    status: Int[np.ndarray, " S"]  # who was in which sub-stage
    system_id: Int[np.ndarray, " S"]  # who was in which slot
    stage_age: Int[np.ndarray, " S"]  # before the first step
    age: Int[np.ndarray, " S"]  # the same, since each system was admitted
    attempt: Int[np.ndarray, " S"]  # of the first step
    taken: Int[np.ndarray, " S"]  # steps that each system took before it came to rest
    failed: Mask  # who failed, after the steps taken
    rejected: Mask | None = None


class Execution(Growing):
    """Holds the state, replaces it by what programs make of it, and moves systems from sub-stage to sub-stage."""

    def __init__(
        self,
        stage: FusedStage,
        systems: PyTree,
        seed: int,
        tell: Tell,
        mesh: Mesh | None = None,
        *,
        clock: Clock | None = None,
        vacant: bool = False,
    ) -> None:
        systems, size = _checked(systems)
        super().__init__(stage, tell, size)
        self.timings = Timings()
        self.programs = ProgramCache(tell, self.timings, mesh)
        self.entered = False
        self.lookers = Lookers()  # at what is computed for systems that enter
        clock = Clock.start(seed, size, stage.first_status) if clock is None else clock
        if vacant:  # the slots are to be filled
            nobody = np.full(size, VACANT, np.int32)
            clock = clock.replace(status=np.full(size, stage.exit_status, np.int32), system_id=nobody)
        self._set(State(systems, {}, clock, rejected=self._nobody))
        self.committed = self._state

    # --- the state ------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The present state: committed, or the candidate of the step at hand."""
        return self._state

    def replace_state(self, state: State) -> None:
        """Put another state in place, which must be built like the present one."""
        for part in ("systems", "own", "scratch"):
            require_same(getattr(self._state, part), getattr(state, part), f"the new state has other {part}")
        self._set(state)
        if not self._in_step:
            self.committed = state

    def restore(self, state: State) -> None:
        """Start from a state that was saved."""
        self._set(state.replace(scratch=(), rejected=self._nobody))
        self.committed, self.entered = self._state, True

    def renew(self, parts: Iterable[Renewable]) -> None:
        """Put parts of private rows in place as `init` makes them for the systems as they are; all else stays."""
        own = dict(self._state.own)
        with tracing_scope():
            for sub, _, key in parts:
                systems = self.programs.placement.systems(sub, self._state.systems)
                before = self._state.replace(systems=systems, own=self._no_rows(sub), metrics={}, scratch=())
                anew = self.programs.enter(sub, before)(before, self.members(sub)).own
                own[sub.label] = {**own[sub.label], key: anew[key]}
        self._set(self._state.replace(own=own))
        self.committed = self._state

    def template(self, labels: Iterable[str]) -> State:
        """A state with members in these sub-stages, private rows as shapes instead of arrays."""
        before, wanted = self._state.replace(own=(), metrics={}, scratch=()), set(labels)
        subs = [sub for sub in self.stage.sub_stages if sub.label in wanted]
        with tracing_scope():
            own = {sub.label: self.programs.row_shapes(sub, before) for sub in subs}
        return before.replace(own=own)

    def view(self, sub: SubStage) -> State:
        """The state as `sub` sees it."""
        return self._state.replace(own=self._state.own[sub.label])

    # --- steps ----------------------------------------------------------------------------------------------

    def advance(self, step: int, n: int) -> Chunk:
        """Commit up to `n` steps in one program; stops at a rejected one, of which only the attempt is noted."""
        subs, before = self.compiled, self._beginning()
        ready = self._state.replace(scratch=(), metrics={}, rejected=self._nobody)
        program = self.programs.advance(subs, ready)
        start = time.perf_counter()
        done: Advanced = program(ready, np.array([step, n], np.int32))
        count = int(done.n_done)
        seconds = (time.perf_counter() - start) / max(count, 1)
        if bool(done.outgrown) and count:
            return self.advance(step, count)  # up to the step that does not fit, with which the next program begins
        if bool(done.outgrown):
            self.grow(done.state.systems)
            nobody = self._nobody
            return Chunk(subs, 0, dict, seconds, *before, np.zeros_like(before[2]), nobody)
        rejected = np.asarray(done.state.rejected)
        if count:
            self._committed(done.state.replace(metrics=done.last, rejected=self._nobody))
        if rejected.any():
            self.roll_back(rejected)
        taken, failed = self.stage_age - before[2], self.moving & (self.ended == FAILED)
        again = rejected if rejected.any() else None
        return Chunk(subs, count, lambda: jax.device_get(done.rows), seconds, *before, taken, failed, again)

    def begin(self) -> None:
        """From here on the state is a candidate, until `commit` or `roll_back`."""
        self.committed, self._in_step = self._state, True

    def phase(self, phase: str, step: int) -> None:
        """Run one phase of the populated sub-stages, or `sample_and_compute`, as a program of its own."""
        ready = self._state
        if phase in ("pre_update", "sample_and_compute"):  # the first of a step
            ready = ready.replace(metrics={}, scratch=())
        self._state = self.programs.phase(phase, self.compiled, self.committed)(ready, np.int32(step))

    def inject(self, samples: PyTree, step: int) -> None:
        """Begin a step with `samples` (one system: without the system axis) in place of what `pre_update` draws."""
        if len(self.status) == 1:
            samples = jax.tree.map(lambda x: x[None], samples)
        program = self.programs.phase("inject", self.compiled, self.committed)
        self._state = program(self._state.replace(metrics={}, scratch=()), np.int32(step), samples)

    def rejected(self) -> Mask:
        """Who must not be committed, after the phases that were run. Who fails alone does not hold up the others."""
        alone = all(sub.stage.fails_alone for sub in self.compiled)
        return self._nobody if alone else np.asarray(self._state.rejected) & self.moving

    def reject(self) -> None:
        """Give up the candidate; who rejected it, or all if it was none of them, gets another attempt."""
        rejected = self.rejected()
        self.roll_back(rejected if rejected.any() else self.moving)

    def conclude(self, step: int, started: float) -> Chunk | None:
        """The last phase and `commit`, in one program."""
        program = self.programs.phase("conclude", self.compiled, self.committed)
        verdict, after = program(self._state, np.int32(step), self.committed)
        self._state = self._state.replace(metrics=verdict.metrics, rejected=verdict.rejected)
        return None if self.rejected().any() else self._commit(after, verdict.metrics, started)

    def commit(self, started: float) -> Chunk | None:
        """Make the candidate the state, unless it is rejected (None). The step began at this `perf_counter`."""
        if self.rejected().any():
            return None
        after = self.programs.phase("commit", self.compiled, self.committed)(self._state, self.committed)
        return self._commit(after, self._state.metrics, started)

    def _commit(self, after: State, metrics: Mapping[str, Any], started: float) -> Chunk:
        before, seconds = self._beginning(), time.perf_counter() - started
        self._committed(after.replace(metrics=metrics, rejected=self._nobody))
        taken, failed = self.stage_age - before[2], self.moving & (self.ended == FAILED)
        rows = {name: np.asarray(x)[None] for name, x in metrics.items()}
        return Chunk(self.compiled, 1, lambda: rows, seconds, *before, taken, failed)

    def roll_back(self, rejected: Mask | None = None) -> None:
        """Back to the committed state; the systems of the mask get another attempt."""
        state = self.committed
        if rejected is not None:
            attempt = self.attempt + rejected.astype(np.int32)
            state = state.replace(clock=state.clock.replace(attempt=attempt))
        self._set(state)
        self.committed, self._in_step = state, False

    def _committed(self, state: State) -> None:
        self._state = self.committed = state
        self._in_step = False
        self.stage_age, self.ended = np.array(state.clock.stage_age), np.array(state.clock.ended)
        self.attempt = np.zeros(len(self.attempt), np.int32)

    def compile(self, sub: SubStage) -> MemoryUse:
        """Compile what systems in `sub` need, ahead of time and perhaps in another thread; what its largest program
        takes."""
        group = self.stage.together_with([sub])
        template = self.template(other.label for other in group)
        # The step first: it takes longest, and the thread that runs the systems asks for the entry first.
        step = self.programs.advance(group, template)
        one = template.n_systems == 1
        befores = [template.replace(own=() if one else template.own[other.label]) for other in group]
        entries = [
            self.programs.enter(other, before, primed=other is not group[0])
            for other, before in zip(group, befores, strict=True)
        ]
        return max(map(memory_use, [step, *entries]), key=lambda use: use.total)

    def reported(self, chunk: Chunk) -> dict[str, list[str]]:
        """Names of the metrics that each sub-stage of the chunk reports."""
        return self.programs.reported(chunk.subs, self.committed)

    # --- from sub-stage to sub-stage ------------------------------------------------------------------------

    def enter_all(self) -> None:
        """Admit the systems to their first sub-stage, once."""
        if not self.entered:
            self._tell_all(self._enter({sub: self.members(sub) for sub in self.populated}, came_from=None))
            self.entered = True

    def steps_to_next_check(self) -> int:
        """Steps until a convergence is to be evaluated on the host."""
        steps = 2**31
        for sub in self._limited:
            convergence = sub.stage.host_convergence
            if convergence is not None:
                age = self.stage_age[self.members(sub)]
                steps = min(steps, int(np.min(convergence.frequency - age % convergence.frequency)))
        return max(steps, 1)

    def leaving(self) -> tuple[dict[int, Mask], Mask]:
        """Who is to leave its sub-stage now (masks by code), and who of them because it converged."""
        masks: dict[int, Mask] = {}
        converged = self._nobody
        for sub in self._limited:
            members, convergence = self.members(sub) & (self.ended != FAILED), sub.stage.host_convergence
            mask, reached = self._nobody, members & (self.ended == CONVERGED)
            if sub.stage.n_steps is not None:
                mask = members & (self.stage_age >= sub.stage.n_steps)
            if convergence is not None:
                due = members & (self.stage_age > 0) & (self.stage_age % convergence.frequency == 0)
                if due.any():
                    reached = due & np.asarray(convergence.evaluate(self.view(sub)), np.bool_)
            mask, converged = mask | reached, converged | reached
            if mask.any():
                masks[sub.code] = mask
        return masks, converged

    def move(self, leaving: dict[int, Mask], converged: Mask) -> None:
        """Move systems to their next sub-stage: `finish` in the old, `init` in the new. One transition a system."""
        self.ended = np.where(converged, CONVERGED, self.ended).astype(np.int32)
        before, status, news = self.status, self.status.copy(), []
        for sub in self.populated:
            if sub.code in leaving:
                news += self._finish(sub, leaving[sub.code])
                status[leaving[sub.code]] = self.stage.next_status(sub.code)
        moved = status != before
        self._restart(moved & (status < self.stage.exit_status), status=status)
        news += self._enter({sub: moved & self.members(sub) for sub in self.populated}, came_from=before)
        self._tell_all(news)

    def admit(self, systems: PyTree, ids: Mapping[int, int]) -> None:
        """Put `systems`, which are new in the slots of `ids` (slot: system id), into the first sub-stage."""
        require_same(self._state.systems, systems, "the fresh systems are built unlike the others")
        entering = self._nobody.copy()
        entering[list(ids)] = True
        system_id = np.array(self._state.clock.system_id)
        system_id[list(ids)] = list(ids.values())
        status = np.where(entering, self.stage.first_status, self.status)
        self._state = self._state.replace(systems=systems)
        self._restart(entering, status=status, system_id=system_id, age=np.array(self._state.clock.age))
        self._tell_all(self._enter({sub: entering & self.members(sub) for sub in self.populated}, came_from=None))

    def _enter(
        self, entering: Mapping[SubStage, Mask], came_from: Int[np.ndarray, " S"] | None
    ) -> list[tuple[str, str]]:
        """Let systems enter sub-stages, coming from these statuses or, if None, from outside; returns what to tell."""
        news = []
        for sub in self.compiled:
            mask = entering.get(sub, self._nobody)
            codes = [other.code for other in self.stage.together_with([sub])]
            near = self._nobody
            if came_from is not None and not (len(codes) > 1 and self._looked_at(codes)):
                near = mask & np.isin(came_from, codes)
            first = sub.label not in self._state.own
            seconds = 0.0
            for some, primed in ((mask & ~near, False), (near, True)):
                # Rows of a sub-stage that is compiled with others must be there before its first system is.
                if some.any() or (primed and sub.label not in self._state.own):
                    seconds += self._enter_one(sub, some, primed)
            if first and mask.any():
                news.append(("stage_entered", f"{sub.label} entered in {seconds:.1f} s"))
        self.committed = self._state
        unsound = np.flatnonzero(self.moving & (self.ended == FAILED)).tolist()
        if unsound:
            self.fail(dict.fromkeys(unsound, "what it begins with is not finite"))
        return news

    def _looked_at(self, codes: list[int]) -> bool:
        """Whether one of these sub-stages has hooks of its own that change what is computed for all of them."""
        labels = self.lookers.labels | {hook.label for hook in self.programs.traced if hook.point in AROUND_COMPUTE}
        return any(sub.label in labels for sub in self.stage.sub_stages if sub.code in codes)

    def _prime(self, sub: SubStage, entering: Mask) -> None:
        """Prime those who enter, with hooks of the host looking on before and after."""
        before = self._state
        self.lookers.call("before_compute", sub)
        with tracing_scope():
            ready = self._state.replace(own=(), metrics={}, scratch=())
            self._set(self._state.replace(systems=self.programs.prime(sub)(ready, entering)))
            self.lookers.call("after_compute", sub)
            systems = self.programs.merge()(entering, self._state.systems, before.systems)
        self._set(before.replace(systems=systems))

    def _enter_one(self, sub: SubStage, entering: Mask, primed: bool) -> float:
        """One entry; returns the seconds that it took."""
        if not primed and sub.stage.primes and self.lookers.labels & {None, sub.label}:
            self._prime(sub, entering)
            primed = True
        systems = self.programs.placement.systems(sub, self._state.systems)
        own = self._state.own.get(sub.label) if len(entering) > 1 else None
        rows = self._no_rows(sub) if own is None else own
        before = self._state.replace(systems=systems, own=rows, metrics={}, scratch=())
        program = self.programs.enter(sub, before, primed)
        start = time.perf_counter()
        with tracing_scope():
            # Waited for: the entry would be announced, and timed, before it has happened.
            entered: Entered = jax.block_until_ready(program(before, entering))
        if np.asarray(entered.outgrown).any():
            self.committed = self._state
            self.grow(entered.systems)
            return self._enter_one(sub, entering & self.moving, primed)
        seconds = time.perf_counter() - start
        require_same(self._state.systems, entered.systems, f"init of stage {sub.label!r} changes the systems")
        own, clock = {**self._state.own, sub.label: entered.own}, self._state.clock
        self.ended = np.where(np.asarray(entered.converged), CONVERGED, self.ended).astype(np.int32)
        self.ended[np.asarray(entered.unsound)] = FAILED
        self._state = self._state.replace(systems=entered.systems, own=own, clock=clock.replace(ended=self.ended))
        self.timings.add(sub.label, seconds=seconds)
        return seconds

    def _no_rows(self, sub: SubStage) -> PyTree:
        """The private rows that an entry begins with where no system has any; a single system has none to keep."""
        if self._state.n_systems == 1:
            return ()
        with tracing_scope():
            return self.programs.no_rows(sub, self._state.replace(own=(), metrics={}, scratch=()))

    def _finish(self, sub: SubStage, leaving: Mask) -> list[tuple[str, str]]:
        if type(sub.stage).finish is not Stage.finish:
            with tracing_scope():
                systems = self.programs.finish(sub)(self._state.systems, self._state.own[sub.label], leaving)
            require_same(self._state.systems, systems, f"finish of stage {sub.label!r} changes the systems")
            self._state = self._state.replace(systems=systems)
        if (self.members(sub) & ~leaving).any():
            return []
        return [("stage_left", f"{sub.label} left after {int(self.stage_age[leaving].max())} steps")]


def _checked(systems: PyTree) -> tuple[PyTree, int]:
    """The systems, strongly typed, and how many they are."""
    leaves = jax.tree_util.tree_leaves_with_path(systems)
    sizes = {jax.tree_util.keystr(path): np.shape(leaf)[:1] for path, leaf in leaves}
    if len(set(sizes.values())) > 1 or any(size in ((), (0,)) for size in sizes.values()):
        raise InputError(f"all arrays of the systems need the same leading system axis; the first axes are {sizes}")
    with tracing_scope():
        return strongly_typed(systems), next(iter(sizes.values()))[0] if sizes else 1
