"""The step of the populated sub-stages as pure functions, and the loop that advances n steps in one program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, Shaped

from adiabat.engine.fused import SubStage, sharing_compute
from adiabat.engine.state import CONVERGED, FAILED, GOING, PyTree, State

__all__ = [
    "AROUND_COMPUTE", "CAPACITY", "Advanced", "Entered", "Lookers", "StepProgram", "TracedHook", "require_same",
    "where_systems", "who_outgrew",
]  # fmt: skip

CAPACITY = 256  # steps, and rows of metrics, that one call of a program can hold
AROUND_COMPUTE = ("before_compute", "after_compute")  # the points of hooks that systems entering are primed with
PHASES = ("pre_update", "compute", "post_update")
RESTING_SHARE = 8
"""A program returns when one slot in so many waits for the host to move its system on."""


class TracedHook(NamedTuple):
    """A hook that is compiled into the step."""

    point: str
    frequency: int
    apply: Callable[[State], State | None]
    label: str | None = None  # the sub-stage it belongs to; None: to the whole
    identity: Any = None  # equal for the same hook registered at the same points

    def of(self, label: str) -> bool:
        """Whether it is called for a sub-stage."""
        return self.label in (None, label)

    def applied(self, state: State, stage: Any) -> State:
        """The state with what the hook makes of the batch that it is given."""
        batch = self.apply(stage.as_batch(state))
        after: State = state if batch is None else stage.from_batch(state, batch)
        return after


class Lookers(NamedTuple):
    """Hooks of the host that look at what is computed for systems that enter."""

    labels: frozenset[str | None] = frozenset()  # of the sub-stages they belong to; None: to the whole
    call: Callable[[str, SubStage], None] = lambda point, sub: None  # those of a point, around the entry of a sub-stage


class Advanced(NamedTuple):
    """What `StepProgram.advance` gives back."""

    state: State  # after the last committed step; `rejected` says who rejected the step after it
    n_done: Int[Array, ""]  # steps committed
    outgrown: Bool[Array, ""]  # whether `state` holds a step that did not fit into its arrays
    rows: dict[str, Shaped[Array, "capacity S ..."]]  # a row a step, with the row of the rejected one at the end
    last: dict[str, Shaped[Array, "S ..."]]  # of each system, the row of its last committed step


class Entered(NamedTuple):
    """What entering a sub-stage gives."""

    systems: PyTree
    own: PyTree
    converged: Bool[Array, " S"]  # who entered and has converged already
    unsound: Bool[Array, " S"]  # who entered and fails at once
    outgrown: Bool[Array, " S"]  # who entered and does not fit into its arrays; the entry is to be done again


class StepProgram:
    """One step of all sub-stages that have members, and of those that share their `compute`.

    `template` is a state (arrays or their shapes) with private rows for exactly these sub-stages. Phases hand
    on `scratch` as a dict by sub-stage; `metrics` of several sub-stages share one dict, and a name that only
    some of them report is not-a-number (or 0) for the systems of the others.

    A system is active until it has converged, failed, or used up the budget of its sub-stage: then it rests, and
    nothing of it changes. Where nobody looks in between, what a single sub-stage's phases do to resting systems is
    dropped only at the end of the step.
    """

    def __init__(self, subs: Sequence[SubStage], template: State, traced: Sequence[TracedHook] = ()) -> None:
        self.subs = tuple(subs)
        self._groups = sharing_compute(self.subs)
        self._traced = tuple(traced)
        # Each phase is a jit of its own: traced once, however many programs are built from it. Inline, what a phase
        # leaves as it is remains the same object.
        self._phases = {
            (sub.label, phase): jax.jit(getattr(sub.stage, phase), inline=True) for sub in self.subs for phase in PHASES
        }
        self._reports = {sub.label: self._trace_alone(sub, template) for sub in self.subs}
        self._metrics = jax.eval_shape(self._step, template, jax.ShapeDtypeStruct((), jnp.int32)).metrics

    def _trace_alone(self, sub: SubStage, template: State) -> tuple[str, ...]:
        """The names that a sub-stage reports; checks that its phases keep the state's structure."""
        start = template.replace(own=template.own[sub.label], scratch=(), rejected=_none_rejected(template))
        view = start.replace(metrics={})
        for phase in PHASES:
            view = jax.eval_shape(self._phases[sub.label, phase], view)
        for part in ("systems", "own"):
            require_same(getattr(start, part), getattr(view, part), f"stage {sub.label!r} changes its {part}")
        return tuple(view.metrics)

    def reported(self, label: str) -> list[str]:
        """Names of the metrics in the rows of this sub-stage: its own, and those of traced hooks."""
        owned = {name for names in self._reports.values() for name in names}
        return [name for name in self._metrics if name in self._reports[label] or name not in owned]

    # --- the parts of a step --------------------------------------------------------------------------------

    def begin(self, state: State) -> State:
        """The state at the start of a step: nothing computed, nothing rejected."""
        none = jnp.zeros(state.n_systems, jnp.bool_)
        return state.replace(scratch={sub.label: () for sub in self.subs}, metrics={}, rejected=none)

    def pre_update(self, state: State, step: Int[Array, ""], masked: bool = True) -> State:
        """Start of a step and first phase of every populated sub-stage. `masked`: whoever looks in between sees that
        resting systems rest."""
        state = self._hook("on_step_start", self.begin(state), step)
        state = self._hook("on_compute_update_start", state, step)
        state = self._hook("before_pre_update", state, step)
        state = self._run("pre_update", state, masked)
        return self._hook("after_pre_update", state, step)

    def inject(self, state: State, step: Int[Array, ""], samples: PyTree) -> State:
        """Start of a step whose samples are given (with the system axis) instead of drawn by `pre_update`."""
        state = self.begin(state)
        for sub in self.subs:
            state = self._merge(state, sub.stage.inject(self._view(state, sub), samples), [sub])
        return self._hook("after_pre_update", state, step)

    def compute(self, state: State, step: Int[Array, ""], masked: bool = True) -> State:
        """Second phase of every populated sub-stage."""
        state = self._hook("before_compute", state, step)
        state = self._run("compute", state, masked)
        return self._hook("after_compute", state, step)

    def post_update(self, state: State, step: Int[Array, ""], masked: bool = True) -> State:
        """Third phase of every populated sub-stage."""
        state = self._hook("before_parameter_update", state, step)
        state = self._run("post_update", state, masked)
        return self._hook("on_step_end", self._hook("after_post_update", state, step), step)

    def sample_and_compute(self, state: State, step: Int[Array, ""]) -> State:
        """The first two phases in one."""
        return self.compute(self.pre_update(state, step), step)

    def conclude(self, state: State, step: Int[Array, ""], before: State) -> tuple[State, State]:
        """The last phase and the commit in one: the candidate's verdict and metrics, and the state if it holds."""
        after = self.post_update(state, step)
        return after.replace(systems=(), own=(), scratch=()), self.commit(after, before)

    def commit(self, after: State, before: State, reached: Bool[Array, " S"] | None = None) -> State:
        """The state with the step done: systems that took it are a step older, and may have ended their sub-stage.

        `reached`: who has met its criteria, if that is known.
        """
        active = self._active(before)
        failing = active & after.rejected if self._fail_alone else jnp.zeros_like(active)
        taken = active & ~failing
        systems, own = after.systems, after.own
        if self._fail_alone or (after.n_systems > 1 and len(self.subs) == 1):
            systems, own = where_systems(taken, (systems, own), (before.systems, before.own))
        moved, clock = taken.astype(jnp.int32), before.clock
        clock = clock.replace(
            age=clock.age + moved,
            stage_age=clock.stage_age + moved,
            attempt=jnp.zeros_like(clock.attempt),
            ended=jnp.where(failing, FAILED, clock.ended).astype(jnp.int32),
        )
        if reached is None:
            reached = self.reached(after.replace(metrics={}), before)
        converged = taken & reached
        clock = clock.replace(ended=jnp.where(converged, CONVERGED, clock.ended).astype(jnp.int32))
        nobody = jnp.zeros_like(after.rejected)
        return after.replace(systems=systems, own=own, clock=clock, scratch=(), metrics={}, rejected=nobody)

    def reached(self, after: State, before: State) -> Bool[Array, " S"]:
        """Who meets, after the step, the criteria that are compiled in and due at its new age in the sub-stage.

        They may rely on the metrics of `after`, if there are any.
        """
        clock = before.clock.replace(age=before.clock.age + 1, stage_age=before.clock.stage_age + 1)
        state = after.replace(clock=clock)
        found = jnp.zeros(state.n_systems, jnp.bool_)
        for sub in self.subs:
            convergence = sub.stage.compiled_convergence
            if convergence is not None:
                due = (state.clock.status == sub.code) & (state.clock.stage_age % convergence.frequency == 0)
                found |= due & jnp.asarray(convergence.evaluate(self._view(state, sub)))
        return found

    def advance(self, state: State, span: Int[Array, "2"]) -> Advanced:
        """Up to n steps (at most CAPACITY) from driver step `step`, span = (step, n).

        Stops when many systems rest, at a step that is rejected, of which nothing stays but the count of the attempt,
        and at one that outgrows its arrays, for which the host makes larger ones.
        """
        step, n = span[0], span[1]
        start = self.begin(state).replace(scratch=())
        rows = {name: jnp.zeros((CAPACITY, *metric.shape), metric.dtype) for name, metric in self._metrics.items()}
        at_first = self._active(start)

        def unfinished(carry: tuple[State, Array, Array, dict[str, Array]]) -> Bool[Array, ""]:
            state, count, stopped, _ = carry
            active = self._active(state)
            resting = jnp.sum(at_first & ~active)
            return (count < n) & ~stopped & jnp.any(active) & (resting * RESTING_SHARE < max(state.n_systems, 2))

        def one(carry: tuple[State, Array, Array, dict[str, Array]]) -> tuple[State, Array, Array, dict[str, Array]]:
            before, count, _, rows = carry
            after = self._step(before, step + count)
            rows = {name: row.at[count].set(after.metrics[name].astype(row.dtype)) for name, row in rows.items()}
            # Criteria may rely on the metrics, unless a hook has changed what those were made of.
            reached = self.reached(after.replace(metrics={}) if self._traced else after, before)
            committed, held_up = self.commit(after, before, reached), self._held_up(after, before)
            if held_up is None:
                return committed, count + 1, jnp.bool_(False), rows
            stop, instead = held_up
            return _replaced(stop, committed, instead), count + jnp.where(stop, 0, 1).astype(jnp.int32), stop, rows

        carry = (start, jnp.int32(0), jnp.bool_(False), rows)
        done, count, stopped, rows = lax.while_loop(unfinished, one, carry)
        newest = jnp.maximum(done.clock.stage_age - start.clock.stage_age - 1, 0)
        last = {name: row[newest, jnp.arange(state.n_systems)] for name, row in rows.items()}
        return Advanced(done, count, stopped & ~jnp.any(done.rejected), rows, last)

    def _held_up(self, after: State, before: State) -> tuple[Bool[Array, ""], State] | None:
        """Whether the step is not to be committed, and the state that there is then; None where it always is."""
        active, outgrown = self._active(before), who_outgrew(self.subs, after.systems)
        if outgrown is not None:
            too_large = before.replace(systems=after.systems, rejected=jnp.zeros_like(active))
            return jnp.any(outgrown & active), too_large
        if self._fail_alone:
            return None
        retried = after.rejected & active
        retry = before.clock.replace(attempt=before.clock.attempt + retried.astype(jnp.int32))
        return jnp.any(retried), before.replace(clock=retry, rejected=retried)

    def _step(self, state: State, step: Int[Array, ""]) -> State:
        for phase in (self.pre_update, self.compute, self.post_update):
            state = phase(state, step, masked=len(self.subs) > 1 or bool(self._traced))
        return state

    # --- helpers --------------------------------------------------------------------------------------------

    @property
    def _fail_alone(self) -> bool:
        """Whether a system that fails leaves the others alone."""
        return all(sub.stage.fails_alone for sub in self.subs)

    def _active(self, state: State, subs: Sequence[SubStage] = ()) -> Bool[Array, " S"]:
        """Who takes the next step, of these sub-stages or of all."""
        clock, found = state.clock, jnp.zeros(state.n_systems, jnp.bool_)
        for sub in subs or self.subs:
            inside = clock.status == sub.code
            found |= inside if sub.stage.n_steps is None else inside & (clock.stage_age < sub.stage.n_steps)
        return found & (clock.ended == GOING)

    def _view(self, state: State, sub: SubStage) -> State:
        """The state as a phase of `sub` sees it."""
        metrics = {name: state.metrics[name] for name in self._reports[sub.label] if name in state.metrics}
        scratch = state.scratch[sub.label] if state.scratch else ()
        return state.replace(own=state.own[sub.label], scratch=scratch, metrics=metrics)

    def _run(self, phase: str, state: State, masked: bool) -> State:
        for group in self._groups if phase == "compute" else [[sub] for sub in self.subs]:
            after = self._phases[group[0].label, phase](self._view(state, group[0]))
            state = self._merge(state, after, group, masked)
        return state

    def _merge(self, state: State, after: State, group: Sequence[SubStage], masked: bool = True) -> State:
        """`state` with what a phase of `group` changed for the systems that are in it, and for no others."""
        sub = group[0]
        old = {name: state.metrics.get(name, _blank(x)) for name, x in after.metrics.items()}
        systems, own, metrics = after.systems, after.own, after.metrics
        rejected = jnp.broadcast_to(jnp.asarray(after.rejected, jnp.bool_), (state.n_systems,))
        if len(self.subs) > 1 or (state.n_systems > 1 and masked):
            inside = self._active(state, group)
            systems = where_systems(inside, systems, state.systems)
            own = where_systems(inside, own, state.own[sub.label])
            rejected = inside & rejected
            metrics = where_systems(inside, dict(metrics), old)
        return state.replace(
            systems=systems,
            own={**state.own, sub.label: own},
            scratch={**state.scratch, sub.label: after.scratch},
            rejected=state.rejected | rejected,
            metrics={**state.metrics, **metrics},
        )

    def _hook(self, point: str, state: State, step: Int[Array, ""]) -> State:
        for hook in self._traced:
            if hook.point != point or not any(hook.of(sub.label) for sub in self.subs):
                continue

            def applied(before: State, hook: TracedHook = hook) -> State:
                after = hook.applied(before, self.subs[0].stage)
                inside = self._active(before, [sub for sub in self.subs if hook.of(sub.label)])
                if after.n_systems == 1 and hook.label is None:
                    return after
                return after.replace(systems=where_systems(inside, after.systems, before.systems))

            if hook.frequency == 1:
                state = applied(state)
            else:
                state = lax.cond(step % hook.frequency == 0, applied, lambda before: before, state)
        return state


def who_outgrew(subs: Sequence[SubStage], systems: PyTree) -> Bool[Array, " S"] | None:
    """Systems that do not fit into their arrays; None if none of these sub-stages has arrays that can be too small."""
    found = [flags for sub in subs if (flags := sub.stage.outgrown(systems)) is not None]
    return jnp.stack(found).any(axis=0) if found else None


def where_systems(mask: Bool[Array, " S"], new: PyTree, old: PyTree) -> PyTree:
    """`new` for the systems of the mask, `old` to the bit for the others."""

    def pick(a: Array, b: Array) -> Array:
        if a is b:  # what nobody has touched
            return a
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, new, old)


def _replaced(stop: Bool[Array, ""], new: PyTree, instead: PyTree) -> PyTree:
    """`new`, or `instead` where `stop`.

    A loop of one turn or none: `cond` would copy the state in every step, and for a `where` XLA would repeat the
    verdict, a reduction over all numbers, for every array of it.
    """
    return lax.while_loop(lambda carry: carry[0], lambda _: (jnp.bool_(False), instead), (stop, new))[1]


def _none_rejected(state: State) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((state.n_systems,), jnp.bool_)


def _blank(x: Array) -> Array:
    return jnp.full_like(x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.zeros_like(x)


def require_same(before: PyTree, after: PyTree, what: str) -> None:
    """Raise TypeError, beginning with `what`, unless both trees have the same paths, shapes and dtypes."""
    old, new = (_described(tree) for tree in (before, after))
    differences = [
        f"{path}: {old.get(path, 'absent')} before, {new.get(path, 'absent')} after"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
    if differences:
        raise TypeError(f"{what}; every shape and dtype must stay as it is ({'; '.join(differences[:5])})")


def _described(tree: PyTree) -> Mapping[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}
