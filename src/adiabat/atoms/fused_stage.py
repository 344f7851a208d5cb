"""`a + b + c` of dynamics: each system in its own sub-stage, one evaluation of the potential a step for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from adiabat.atoms.batch import Batch
from adiabat.atoms.dynamics import BaseDynamics
from adiabat.atoms.handle import Handle
from adiabat.atoms.stage_place import StagePlace
from adiabat.engine import FusedStage as Fused
from adiabat.engine import MemoryUse, checked_frequency
from adiabat.engine.fused import in_a_row
from adiabat.errors import InputError

__all__ = ["FusedStage", "fuse_dynamics"]


class FusedStage(Handle):
    """Sub-stages as (code, dynamics) pairs; a system of status `code` is advanced by that dynamics, until it converges
    or its steps are used up; then it goes to the next code, and from the last it graduates.

    Parameters
    ----------
    sub_stages : sequence of (int, BaseDynamics)
    entry_status : int, optional
        Status of systems that begin; by default the first code.
    exit_status : int
        Of systems that have graduated; -1: one past the last code.
    n_steps : int, optional
        Steps that a run does at most.
    hooks : list
        See the whole batch, at any point; those of a dynamics are told which systems are its own.
    init_fn : callable, optional
        Batch to batch: what the sampler does not set, of the systems that it gave.
    compile_step : bool
        Compile ahead of time, before the first run.
    convergence_check_frequency : int
        Kept; a run ends with the step at which the last system graduates, whatever this says.
    **place
        What every stage is told, such as `sampler`, `sinks`, `max_batch_size` and `device_type`: see `StagePlace`.

    Raises
    ------
    InputError
        If the codes do not increase, or the sub-stages are on different devices (a ValueError, too).
    TypeError
        If a sub-stage is no dynamics.
    """

    def __init__(
        self,
        sub_stages: Sequence[tuple[int, Any]],
        *,
        entry_status: int | None = None,
        exit_status: int = -1,
        n_steps: int | None = None,
        hooks: Iterable[Any] = (),
        init_fn: Callable[[Batch], Batch] | None = None,
        compile_step: bool = False,
        convergence_check_frequency: int = 1,
        **place: Any,
    ) -> None:
        for _, dynamics in sub_stages:
            if not isinstance(dynamics, BaseDynamics):
                raise TypeError(f"a sub-stage is a dynamics; got {type(dynamics).__name__}")
        StagePlace.__init__(self, **{"device_type": _common_device([each for _, each in sub_stages]), **place})
        self.convergence_check_frequency = checked_frequency(convergence_check_frequency, "a check of convergence")
        self.sub_stages = tuple((int(code), dynamics) for code, dynamics in sub_stages)
        self._entry_status, self._exit_status = entry_status, exit_status
        self.n_steps = n_steps
        self.hooks = list(hooks)
        self.init_fn = init_fn
        self.compile_step = compile_step
        self.fused  # noqa: B018 - codes that make no sense are refused now

    @property
    def fused(self) -> Fused:
        """The immutable description that the engine runs."""
        stages = [dynamics.stage for dynamics in self.parts]
        # The potential is evaluated once for all of them, with stress if one needs it.
        stress = any(stage.with_stress for stage in stages)
        codes = [code for code, _ in self.sub_stages]
        pairs = [(code, replace(stage, with_stress=stress)) for code, stage in zip(codes, stages, strict=True)]
        return Fused(pairs, entry_status=self._entry_status, exit_status=self._exit_status)

    @property
    def parts(self) -> tuple[BaseDynamics, ...]:
        """The dynamics in order."""
        return tuple(dynamics for _, dynamics in self.sub_stages)

    @property
    def exit_status(self) -> int:
        """Status of those that have graduated."""
        return self.fused.exit_status

    @property
    def entry_status(self) -> int:
        """Status of those that begin."""
        return self.fused.entry_status

    @property
    def __needs_keys__(self) -> frozenset[str]:
        """What the potentials have to give."""
        return frozenset().union(*(dynamics.__needs_keys__ for dynamics in self.parts))

    @property
    def __provides_keys__(self) -> frozenset[str]:
        """What the potentials give."""
        return frozenset().union(*(dynamics.model.gives for dynamics in self.parts))

    def register_fused_hook(self, hook: Any) -> None:
        """Have this hook called with the whole batch, at any point of a step."""
        self.register_hook(hook)

    def run(self, batch: Batch | None = None) -> Batch | None:
        """Until all systems have graduated, or ``n_steps``; without a batch the sampler's systems, in flight.

        Returns
        -------
        Batch or None
            None when the sampler is exhausted and all its systems have graduated; what could not go to a full sink is
            in the batch that is returned then.

        Raises
        ------
        InputError
            With neither batch nor sampler, for systems that make no sense, or if the run would never end.
        """
        driver = self._driver_in_flight(self.fused) if batch is None else self._driver_of(batch)
        if self.n_steps is None:
            self.check_ends()
        if self.compile_step:
            with self._on_device():
                driver.compile()
        self._advance(driver, self.n_steps)
        if batch is None and driver.done:
            return None
        return self._back(driver)

    def check_ends(self) -> None:
        """See whether every system leaves every sub-stage at some time.

        Raises
        ------
        InputError
            If a sub-stage has neither a criterion nor a number of steps; the message names it.
        """
        movers = [*self.hooks, *(hook for dynamics in self.parts for hook in dynamics.hooks)]
        left = {hook.source_status for hook in movers if getattr(hook, "target_status", None) is not None}
        for sub, (code, dynamics) in zip(self.fused.sub_stages, self.sub_stages, strict=True):
            if dynamics.criterion is None and dynamics.n_steps is None and code not in left:
                raise InputError(
                    f"systems would stay in {sub.label} (status {code}) for ever: give it a convergence_hook or "
                    "n_steps, or the whole FusedStage n_steps"
                )

    def all_complete(self, batch: Batch, exit_status: int | None = None) -> bool:
        """Whether every system of the batch has graduated."""
        exit_status = self.exit_status if exit_status is None else exit_status
        there = np.asarray(batch.numbers).any(axis=1)
        return bool((np.asarray(batch.status)[there] >= exit_status).all())

    def compile(self, batch: Batch) -> None:
        """Compile all programs for batches like this one, ahead of time."""
        self.memory(batch)

    def memory(self, batch: Batch | None = None) -> MemoryUse:
        """As `BaseDynamics.memory`; without a batch for slots that the sampler fills."""
        if batch is not None:
            return super().memory(batch)
        with self._on_device():
            return self._driver_in_flight(self.fused).compile()

    def __call__(self, batch: Batch) -> tuple[Batch, np.ndarray | None]:
        """A step, as `step`."""
        return self.step(batch)

    def __add__(self, other: Any) -> FusedStage:
        return fuse_dynamics(self, other)

    def __repr__(self) -> str:
        stages = " + ".join(f"{dynamics!r} ({code})" for code, dynamics in self.sub_stages)
        return f"FusedStage({stages}, exit_status={self.exit_status})"

    # --- parts ----------------------------------------------------------------------------------------------

    @property
    def _outer_hooks(self) -> list[Any]:
        return self.hooks


def fuse_dynamics(*stages: Any) -> FusedStage:
    """One FusedStage of dynamics and FusedStages in this order; later codes are renumbered to follow on.

    What else they were given (hooks of a FusedStage, sampler, sinks, and so on) is kept; hooks and sinks of several add
    up.
    """
    groups: list[list[tuple[int, BaseDynamics]]] = []
    kept: dict[str, Any] = {"hooks": [], "sinks": []}
    keys: dict[str, Any] = {}
    for stage in stages:
        if isinstance(stage, FusedStage):
            groups.append(list(stage.sub_stages))
            kept["hooks"] += stage.hooks
            kept["compile_step"] = kept.get("compile_step", False) or stage.compile_step
            _keep_first(kept, stage, "init_fn", "n_steps")
        elif isinstance(stage, BaseDynamics):
            groups.append([(0, stage)])
        else:
            raise TypeError(f"only dynamics can be joined with +; got {type(stage).__name__}")
        kept["sinks"] += stage.sinks or ()
        kept["max_batch_size"] = min(kept.get("max_batch_size", stage.max_batch_size), stage.max_batch_size)
        kept["refill_frequency"] = max(kept.get("refill_frequency", 1), stage.refill_frequency)
        kept["debug_mode"] = kept.get("debug_mode", False) or stage.debug_mode
        _keep_first(kept, stage, "sampler", "buffer_config")
        keys |= stage._bookkeeping
    fused = FusedStage(in_a_row(groups), device_type=_common_device(stages), **kept)
    fused._bookkeeping = keys
    return fused


def _keep_first(kept: dict[str, Any], stage: Any, *names: str) -> None:
    """Keep what a stage has of these, unless one before had it."""
    for name in names:
        value = getattr(stage, name)
        if value is not None:
            kept.setdefault(name, value)


def _common_device(stages: Sequence[Any]) -> str | None:
    """The type of device that stages ask for; InputError if they disagree."""
    asked = sorted({stage.device_type for stage in stages if stage.device_type is not None})
    if len(asked) > 1:
        raise InputError(f"sub-stages ask for different devices, {' and '.join(asked)}; expected one for all of them")
    return asked[0] if asked else None
