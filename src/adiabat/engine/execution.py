"""The state of a run and the programs that move it: no callbacks here, no loop, no files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Int

from adiabat.engine.compiling import ProgramCache, Tell, tracing_scope
from adiabat.engine.fused import FusedStage, Renewable, SubStage
from adiabat.engine.program import Advanced, require_same
from adiabat.engine.stage import Stage
from adiabat.engine.state import Clock, PyTree, State, strongly_typed
from adiabat.engine.timings import Timings
from adiabat.errors import InputError

__all__ = ["Chunk", "Execution"]

Mask = Bool[np.ndarray, " S"]


class Chunk(NamedTuple):
    """Steps that were committed, and perhaps one after them that was rejected."""

    subs: tuple[SubStage, ...]  # whose step it was
    n_steps: int  # steps committed
    rows: Callable[[], dict[str, np.ndarray]]  # metrics (rows, S, ...); after the committed ones, the rejected one
    seconds: float  # wall time of one step
    status: Int[np.ndarray, " S"]  # who was in which sub-stage
    stage_age: Int[np.ndarray, " S"]  # before the first step
    attempt: Int[np.ndarray, " S"]  # of the first step
    rejected: Mask | None = None


class Execution:
    """Holds the state, replaces it by what programs make of it, and moves systems from sub-stage to sub-stage."""

    def __init__(self, stage: FusedStage, systems: PyTree, seed: int, tell: Tell, mesh: Mesh | None) -> None:
        self.stage = stage
        self.timings = Timings()
        self.programs = ProgramCache(tell, self.timings, mesh)
        self.entered = False
        self._in_step = False
        self._tell = tell
        systems, size = _checked(systems)
        self._nobody = np.zeros(size, np.bool_)
        clock = Clock.start(seed, size, stage.first_status)
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
                before = self._state.replace(systems=systems, own=(), metrics={}, scratch=())
                _, anew = self.programs.enter(sub, before)(before, self.members(sub))
                own[sub.label] = {**own[sub.label], key: anew[key]}
        self._set(self._state.replace(own=own))
        self.committed = self._state

    def template(self, labels: Iterable[str]) -> State:
        """A state with members in these sub-stages, private rows as shapes instead of arrays."""
        before, wanted = self._state.replace(own=(), metrics={}, scratch=()), set(labels)
        subs = [sub for sub in self.stage.sub_stages if sub.label in wanted]
        with tracing_scope():
            own = {sub.label: self.programs.entry_shapes(sub, before)[1] for sub in subs}
        return before.replace(own=own)

    def _set(self, state: State) -> None:
        # The host's copies of the clock spare a look at the device after every program.
        self._state = state
        self.status: Int[np.ndarray, " S"] = np.array(state.clock.status)
        self.stage_age: Int[np.ndarray, " S"] = np.array(state.clock.stage_age)
        self.attempt: Int[np.ndarray, " S"] = np.array(state.clock.attempt)
        present = set(self.status.tolist())
        self.populated = tuple(sub for sub in self.stage.sub_stages if sub.code in present)
        self._limited = tuple(
            sub for sub in self.populated if sub.stage.n_steps is not None or sub.stage.convergence is not None
        )
        codes = {sub.code for sub in self.populated}
        self.moving: Mask = np.array([code in codes for code in self.status.tolist()], np.bool_)

    def members(self, sub: SubStage) -> Mask:
        """The systems that are in `sub`."""
        return np.asarray(self.status == sub.code)

    def view(self, sub: SubStage) -> State:
        """The state as `sub` sees it."""
        return self._state.replace(own=self._state.own[sub.label])

    # --- steps ----------------------------------------------------------------------------------------------

    def advance(self, step: int, n: int) -> Chunk:
        """Commit up to `n` steps in one program; stops at a rejected one, of which only the attempt is noted."""
        subs, before = self.populated, (self.status, self.stage_age, self.attempt)
        ready = self._state.replace(scratch=(), metrics={}, rejected=self._nobody)
        program = self.programs.advance(subs, ready)
        start = time.perf_counter()
        done: Advanced = program(ready, np.array([step, n], np.int32))
        count = int(done.n_done)
        seconds = (time.perf_counter() - start) / max(count, 1)
        rejected = None
        if count:
            self._committed(done.state.replace(metrics=done.last, rejected=self._nobody), count)
        if count < n:
            rejected = np.asarray(done.state.rejected)
            self.roll_back(rejected)
        return Chunk(subs, count, lambda: jax.device_get(done.rows), seconds, *before, rejected)

    def begin(self) -> None:
        """From here on the state is a candidate, until `commit` or `roll_back`."""
        self.committed, self._in_step = self._state, True

    def phase(self, phase: str, step: int) -> None:
        """Run one phase of the populated sub-stages, or `sample_and_compute`, as a program of its own."""
        ready = self._state
        if phase in ("pre_update", "sample_and_compute"):  # the first of a step
            ready = ready.replace(metrics={}, scratch=())
        self._state = self.programs.phase(phase, self.populated, self.committed)(ready, np.int32(step))

    def inject(self, samples: PyTree, step: int) -> None:
        """Begin a step with `samples` (one system: without the system axis) in place of what `pre_update` draws."""
        if len(self.status) == 1:
            samples = jax.tree.map(lambda x: x[None], samples)
        program = self.programs.phase("inject", self.populated, self.committed)
        self._state = program(self._state.replace(metrics={}, scratch=()), np.int32(step), samples)

    def rejected(self) -> Mask:
        """Who must not be committed, after the phases that were run."""
        return np.asarray(self._state.rejected) & self.moving

    def reject(self) -> None:
        """Give up the candidate; who rejected it, or all if it was none of them, gets another attempt."""
        rejected = self.rejected()
        self.roll_back(rejected if rejected.any() else self.moving)

    def conclude(self, step: int, started: float) -> Chunk | None:
        """The last phase and `commit`, in one program."""
        program = self.programs.phase("conclude", self.populated, self.committed)
        verdict, after = program(self._state, np.int32(step))
        self._state = self._state.replace(metrics=verdict.metrics, rejected=verdict.rejected)
        return None if self.rejected().any() else self._commit(after, verdict.metrics, started)

    def commit(self, started: float) -> Chunk | None:
        """Make the candidate the state, unless it is rejected (None). The step began at this `perf_counter`."""
        if self.rejected().any():
            return None
        after = self.programs.phase("commit", self.populated, self.committed)(self._state)
        return self._commit(after, self._state.metrics, started)

    def _commit(self, after: State, metrics: Mapping[str, Any], started: float) -> Chunk:
        before, seconds = (self.status, self.stage_age, self.attempt), time.perf_counter() - started
        self._committed(after.replace(metrics=metrics, rejected=self._nobody), 1)
        return Chunk(self.populated, 1, lambda: {k: np.asarray(x)[None] for k, x in metrics.items()}, seconds, *before)

    def roll_back(self, rejected: Mask | None = None) -> None:
        """Back to the committed state; the systems of the mask get another attempt."""
        state = self.committed
        if rejected is not None:
            attempt = self.attempt + rejected.astype(np.int32)
            state = state.replace(clock=state.clock.replace(attempt=attempt))
        self._set(state)
        self.committed, self._in_step = state, False

    def _committed(self, state: State, count: int) -> None:
        self._state = self.committed = state
        self._in_step = False
        self.stage_age = self.stage_age + self.moving * np.int32(count)
        self.attempt = np.zeros(len(self.attempt), np.int32)

    def compile(self, sub: SubStage) -> None:
        """Compile what a system alone in `sub` needs, ahead of time and perhaps in another thread."""
        template = self.template([sub.label])
        # The step first: it takes longest, and the thread that runs the systems asks for the entry first.
        self.programs.advance([sub], template)
        self.programs.enter(sub, template.replace(own=()))

    def reported(self, chunk: Chunk) -> dict[str, list[str]]:
        """Names of the metrics that each sub-stage of the chunk reports."""
        return self.programs.reported(chunk.subs, self.committed)

    # --- from sub-stage to sub-stage ------------------------------------------------------------------------

    def enter_all(self) -> None:
        """Admit the systems to their first sub-stage, once."""
        if not self.entered:
            news = [self._enter(sub, self.members(sub)) for sub in self.populated]
            self.entered, self.committed = True, self._state
            self._tell_all(news)

    def steps_to_next_check(self) -> int:
        """Steps until a budget ends or a convergence is to be evaluated."""
        steps = 2**31
        for sub in self._limited:
            age = self.stage_age[self.members(sub)]
            if sub.stage.n_steps is not None:
                steps = min(steps, sub.stage.n_steps - int(age.max()))
            if sub.stage.convergence is not None:
                frequency = sub.stage.convergence.frequency
                steps = min(steps, int(np.min(frequency - age % frequency)))
        return max(steps, 1)

    def leaving(self) -> tuple[dict[int, Mask], Mask]:
        """Who is to leave its sub-stage now (masks by code), and who of them because it converged."""
        masks: dict[int, Mask] = {}
        converged = self._nobody
        for sub in self._limited:
            members, convergence = self.members(sub), sub.stage.convergence
            mask = self._nobody
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

    def move(self, leaving: dict[int, Mask]) -> None:
        """Move systems to their next sub-stage: `finish` in the old, `init` in the new. One transition a system."""
        status, news = self.status.copy(), []
        for sub in self.populated:
            if sub.code in leaving:
                news.append(self._finish(sub, leaving[sub.code]))
                status[leaving[sub.code]] = self.stage.next_status(sub.code)
        moved = status != self.status
        clock = self._state.clock.replace(
            status=status.astype(np.int32), stage_age=np.where(moved, 0, self.stage_age).astype(np.int32)
        )
        own = {sub.label: self._state.own[sub.label] for sub in self.populated if (status == sub.code).any()}
        self._set(self._state.replace(clock=clock, own=own))
        entering = [(sub, moved & self.members(sub)) for sub in self.populated]
        news += [self._enter(sub, mask) for sub, mask in entering if mask.any()]
        self.committed = self._state
        self._tell_all(news)

    def _tell_all(self, news: Iterable[tuple[str, str]]) -> None:
        """Only when everything is in place: whoever hears it may look at the state, or stop the run."""
        for kind, message in news:
            self._tell(kind, message)

    def _enter(self, sub: SubStage, entering: Mask) -> tuple[str, str]:
        systems = self.programs.placement.systems(sub, self._state.systems)
        before = self._state.replace(systems=systems, own=self._state.own.get(sub.label, ()), metrics={}, scratch=())
        program = self.programs.enter(sub, before)
        start = time.perf_counter()
        with tracing_scope():
            # Waited for: the entry would be announced, and timed, before it has happened.
            systems, own = jax.block_until_ready(program(before, entering))
        seconds = time.perf_counter() - start
        require_same(self._state.systems, systems, f"init of stage {sub.label!r} changes the systems")
        self._state = self._state.replace(systems=systems, own={**self._state.own, sub.label: own})
        self.timings.add(sub.label, seconds=seconds)
        return "stage_entered", f"{sub.label} entered in {seconds:.1f} s"

    def _finish(self, sub: SubStage, leaving: Mask) -> tuple[str, str]:
        if type(sub.stage).finish is not Stage.finish:
            with tracing_scope():
                systems = self.programs.finish(sub)(self._state.systems, self._state.own[sub.label], leaving)
            require_same(self._state.systems, systems, f"finish of stage {sub.label!r} changes the systems")
            self._state = self._state.replace(systems=systems)
        return "stage_left", f"{sub.label} left after {int(self.stage_age[leaving].max())} steps"


def _checked(systems: PyTree) -> tuple[PyTree, int]:
    """The systems, strongly typed, and how many they are."""
    leaves = jax.tree_util.tree_leaves_with_path(systems)
    sizes = {jax.tree_util.keystr(path): np.shape(leaf)[:1] for path, leaf in leaves}
    if len(set(sizes.values())) > 1 or any(size in ((), (0,)) for size in sizes.values()):
        raise InputError(f"all arrays of the systems need the same leading system axis; the first axes are {sizes}")
    with tracing_scope():
        return strongly_typed(systems), next(iter(sizes.values()))[0] if sizes else 1
