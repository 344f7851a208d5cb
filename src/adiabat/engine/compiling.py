"""Compiled programs of a FusedStage: made once, in whichever thread asks first, and timed apart from the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from adiabat.engine.fused import SubStage
from adiabat.engine.placement import Placement
from adiabat.engine.program import Entered, StepProgram, TracedHook, where_systems
from adiabat.engine.state import PyTree, State, strongly_typed
from adiabat.engine.timings import Timings

__all__ = ["ProgramCache", "Tell", "tracing_scope"]

Tell = Callable[[str, str], None]
Program = Callable[..., Any]


class ProgramCache:
    """Everything that is compiled for a run. `tell(kind, message)` hears of compilations, `timings` of their cost."""

    def __init__(
        self, tell: Tell, timings: Timings, mesh: Mesh | None = None, traced: Sequence[TracedHook] = ()
    ) -> None:
        self.placement = Placement(mesh)
        self.traced = tuple(traced)
        self._tell = tell
        self._timings = timings
        self._made: dict[Hashable, Any] = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._guard = threading.Lock()

    def with_traced(self, traced: Sequence[TracedHook]) -> ProgramCache:
        """This cache if it has the same hooks compiled in, else an empty one."""
        if [hook.identity for hook in traced] == [hook.identity for hook in self.traced]:
            return self
        return self.anew(traced)

    def anew(self, traced: Sequence[TracedHook] | None = None) -> ProgramCache:
        """An empty cache: for systems whose arrays have other shapes, or for other hooks."""
        hooks = self.traced if traced is None else traced
        return ProgramCache(self._tell, self._timings, self.placement.mesh, hooks)

    def advance(self, subs: Sequence[SubStage], state: State) -> Program:
        """(state, (step, n)) -> Advanced, for states like `state` (arrays or shapes)."""

        def make() -> Program:
            program, span = self._step(subs, state), jax.ShapeDtypeStruct((2,), np.int32)
            return _compiled(jax.jit(program.advance, **self.placement.advance(subs)), state, span)

        return self._once(("advance", _codes(subs)), make, subs, "step")

    def phase(self, phase: str, subs: Sequence[SubStage], state: State) -> Program:
        """A part of a step, named as the method of StepProgram, as a program of its own."""

        def make() -> Program:
            return jax.jit(getattr(self._step(subs, state), phase), **self.placement.phase(phase, subs))

        return self._once((phase, _codes(subs)), make)

    def reported(self, subs: Sequence[SubStage], state: State) -> dict[str, list[str]]:
        """The names of the metrics that each of these sub-stages reports."""
        program = self._step(subs, state)
        return {sub.label: program.reported(sub.label) for sub in subs}

    def enter(self, sub: SubStage, before: State, primed: bool = False) -> Program:
        """(before, entering) -> Entered: what `prime`, unless that was done, and `init` make of the systems that enter
        `sub`. All of `before` is kept for the others, private rows too, which are those of `sub` or, if there is only
        one system, none."""

        def make() -> Program:
            mask = jax.ShapeDtypeStruct((before.n_systems,), np.bool_)
            return _compiled(self._entered(sub, primed), before, mask)

        return self._once(("enter", sub.code, primed), make, [sub], "entry")

    def prime(self, sub: SubStage) -> Program:
        """(before, entering) -> systems, those that enter primed for `sub`: apart from the entry, where hooks of the
        host look at them before and after."""

        def primed(before: State, entering: Any) -> PyTree:
            after = _primed(sub, self.traced, before)
            return where_systems(entering, after.systems, before.systems)

        return self._once(("prime", sub.code), lambda: jax.jit(primed))

    def row_shapes(self, sub: SubStage, before: State) -> PyTree:
        """Shapes of the private rows of `sub`."""
        return self._once(("rows", sub.code), lambda: jax.eval_shape(self._begun(sub), before)[1])

    def no_rows(self, sub: SubStage, before: State) -> PyTree:
        """Private rows of `sub` that mean nothing, where those of its systems are to be put."""
        return self.placement.rows(sub, jax.tree.map(_zeros, self.row_shapes(sub, before)))

    def merge(self) -> Program:
        """(entering, systems, before) -> systems: those that enter, with the others as before."""
        return self._once(("merge",), lambda: jax.jit(where_systems))

    def finish(self, sub: SubStage) -> Program:
        """(systems, own, leaving) -> systems as the next stage gets them."""

        def finished(systems: PyTree, own: PyTree, leaving: Any) -> PyTree:
            after = sub.stage.finish(systems, own)
            return where_systems(leaving, after, systems) if leaving.shape[0] > 1 else after

        return self._once(("finish", sub.code), lambda: jax.jit(finished))

    def _entered(self, sub: SubStage, primed: bool = False) -> Any:
        def make() -> Any:
            return jax.jit(_entered(sub, self._begun(sub), primed, self.traced), **self.placement.enter(sub))

        return self._once(("entered", sub.code, primed), make)

    def _begun(self, sub: SubStage) -> Any:
        """state -> (systems, rows) with which `sub` begins: traced once for shapes and entry."""

        def begun(state: State) -> tuple[PyTree, PyTree]:
            result: tuple[PyTree, PyTree] = strongly_typed(sub.stage.init(state, state.keys(f"enter {sub.label}")))
            return result

        return self._once(("begun", sub.code), lambda: jax.jit(begun, inline=True))

    def _step(self, subs: Sequence[SubStage], state: State) -> StepProgram:
        program: StepProgram = self._once(("traced", _codes(subs)), lambda: StepProgram(subs, state, self.traced), subs)
        return program

    def _once(self, key: Hashable, make: Callable[[], Any], subs: Sequence[SubStage] = (), announced: str = "") -> Any:
        """What `make` makes, once for each key; a second thread that asks meanwhile waits. With `subs`, the
        time counts as time of compiling these; with a name it is announced."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key in self._made:
                return self._made[key]
            label = " + ".join(sub.label for sub in subs)
            if announced:
                self._tell("compile_started", f"compiling {label} ({announced})")
            start = time.perf_counter()
            with tracing_scope():
                self._made[key] = make()
            seconds = time.perf_counter() - start
            if announced:
                self._timings.add(label, compiling=seconds)
                self._tell("compile_finished", f"compiled {label} ({announced}) in {seconds:.1f} s")
            return self._made[key]


@contextmanager
def tracing_scope() -> Iterator[None]:
    """The one scope in which everything is traced: 64-bit types where they are asked for, matrix products in
    the full precision of their operands."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def _compiled(jitted: Any, *shapes: Any) -> Program:
    # The newer code generator of XLA for the CPU holds a megabyte for each of the hundreds of kernels of a step while
    # it compiles, takes a third longer, and its kernels are no faster here. Releases after JAX 0.9 have no other.
    older = jax.default_backend() == "cpu" and jax.__version_info__[:2] == (0, 9)
    program: Program = jitted.lower(*shapes).compile({"xla_cpu_use_fusion_emitters": False} if older else None)
    return program


def _primed(sub: SubStage, traced: Sequence[TracedHook], state: State) -> State:
    """The systems primed for a sub-stage, with the hooks at BEFORE_COMPUTE and AFTER_COMPUTE that are compiled in."""
    around = [hook for hook in traced if hook.of(sub.label)] if sub.stage.primes else []
    for hook in around:
        state = hook.applied(state, sub.stage) if hook.point == "before_compute" else state
    state = state.replace(systems=sub.stage.prime(state.systems))
    for hook in around:
        state = hook.applied(state, sub.stage) if hook.point == "after_compute" else state
    return state


def _entered(
    sub: SubStage, begun: Callable[[State], tuple[PyTree, PyTree]], primed: bool, traced: Sequence[TracedHook]
) -> Callable[[State, Any], Entered]:
    stage = sub.stage

    def entered(before: State, entering: Any) -> Entered:
        ready = before.replace(own=())
        systems, own = begun(ready if primed else ready.replace(systems=_primed(sub, traced, ready).systems))
        if before.n_systems > 1:
            own = where_systems(entering, own, before.own)
        if before.n_systems > 1 or stage.shared_compute() is not None:
            systems = where_systems(entering, systems, before.systems)
        nobody = jnp.zeros(before.n_systems, jnp.bool_)
        convergence, converged = stage.compiled_convergence, None
        if convergence is not None:
            converged = convergence.evaluate(before.replace(systems=systems, own=own))
        flags = (converged, stage.unsound(systems), stage.outgrown(systems))
        return Entered(systems, own, *(nobody if flag is None else entering & flag for flag in flags))

    return entered


def _zeros(like: jax.ShapeDtypeStruct) -> Any:
    """Of NumPy where it knows the type: nothing has to be compiled."""
    xp: Any = jnp if jnp.issubdtype(like.dtype, jax.dtypes.extended) else np
    return xp.zeros(like.shape, like.dtype)


def _codes(subs: Sequence[SubStage]) -> tuple[int, ...]:
    return tuple(sub.code for sub in subs)
