"""The familiar handle of dynamics, on which hooks are registered and batches are run: a thin face of a Driver."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from adiabat.atoms.batch import Batch
from adiabat.atoms.dynamics_stage import as_batch
from adiabat.atoms.per_system import check_lengths
from adiabat.atoms.potentials.potential import Potential
from adiabat.engine import VACANT, Clock, Driver, FusedStage, MemoryUse
from adiabat.engine.compiling import tracing_scope

if TYPE_CHECKING:
    from adiabat.atoms.dynamics import BaseDynamics

__all__ = ["Handle"]


class Handle(abc.ABC):
    """Runs batches through a stage. A batch that comes back is continued as if there had been no break."""

    hooks: list[Any]
    seed: int = 0
    _driver: Driver | None = None
    _returned: Batch | None = None

    @property
    @abc.abstractmethod
    def fused(self) -> FusedStage:
        """The immutable description that the engine runs."""

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[BaseDynamics, ...]:
        """The dynamics of the sub-stages."""

    @property
    def potentials(self) -> tuple[Potential, ...]:
        """What is evaluated, each once."""
        return tuple({id(part.model): part.model for part in self.parts}.values())

    @property
    def step_count(self) -> int:
        """Steps done, over all runs."""
        return self._steps_before + (0 if self._driver is None else self._driver.step_count)

    _steps_before: int = 0

    @property
    def done(self) -> bool:
        """Whether no system of the last batch has anything left to do."""
        return self._driver is not None and self._driver.done

    @property
    def active_batch(self) -> Batch | None:
        """The batch as it is; None before the first."""
        return None if self._driver is None else as_batch(self._driver.state)

    def register_hook(self, hook: Any) -> None:
        """Have this called, too: a hook object, a callback or a function."""
        self.hooks.append(hook)
        self._forget()

    def step(self, batch: Batch) -> tuple[Batch, np.ndarray | None]:
        """One step; returns the batch and the slots of those that converged or graduated at it, or None."""
        driver = self._driver_of(batch)
        before = np.asarray(driver.state.clock.status)
        driver.run(1)
        batch = self._back(driver)
        left = np.flatnonzero((before < self.fused.exit_status) & (np.asarray(batch.status) >= self.fused.exit_status))
        return batch, left if len(left) else None

    def memory(self, batch: Batch) -> MemoryUse:
        """What running batches like this one takes, by XLA's own count; the programs are compiled, none is run.

        A batch whose neighbor lists have to grow on the way takes more.
        """
        use = self._driver_of(batch).compile()
        self._returned = batch
        return use

    def compute(self, batch: Batch) -> dict[str, Any]:
        """Energy, forces and stress of a batch by name, as the potentials give them; in 64 bits, as in a run."""
        (potential,) = self.potentials
        self._known(batch)
        with tracing_scope():
            found = jax.jit(potential.evaluate)(self._prepared(batch))
        return {name: getattr(found, name) for name in ("energy", "forces", "stress") if name in potential.gives}

    # --- parts ----------------------------------------------------------------------------------------------

    def _driver_of(self, batch: Batch) -> Driver:
        """The Driver that gave this batch back, or a fresh one."""
        if self._driver is None or batch is not self._returned:
            self._forget()
            clock = batch.clock if batch.clock is not None else self._clock(batch)
            self._check(batch.replace(clock=clock), or_more=batch.clock is not None)
            batch = self._prepared(batch)
            self._driver = Driver(
                self.fused,
                seed=self.seed,
                systems=batch.replace(clock=None, own=None),
                clock=self._entering(clock),
                callbacks=self._outer_hooks,
            )
        return self._driver

    @property
    def _outer_hooks(self) -> list[Any]:
        """Hooks that are not those of a sub-stage."""
        return []

    def _back(self, driver: Driver) -> Batch:
        self._returned = as_batch(driver.state)
        return self._returned

    def _forget(self) -> None:
        if self._driver is not None:
            self._steps_before += self._driver.step_count
        self._driver = self._returned = None

    def _check(self, batch: Batch, or_more: bool) -> None:
        """Raise `InputError` for systems that make no sense or that cannot be moved so. `or_more`: whether these may be
        a part of a data set."""
        n_systems = int(np.max(np.asarray(batch.system_id), initial=-1)) + 1 if or_more else batch.n_systems
        for part in self.parts:
            check_lengths(part, n_systems, or_more=or_more)
        for data in batch.to_data_list():
            data.check()
        self._known(batch)

    def _known(self, batch: Batch) -> None:
        """Raise `InputError` for systems that a dynamics cannot move or a potential does not know."""
        for part in self.parts:
            part.check(batch)
        for potential in self.potentials:
            potential.check(batch)

    def _prepared(self, batch: Batch) -> Batch:
        for potential in self.potentials:
            batch = potential.prepare(batch)
        return batch

    def _clock(self, batch: Batch) -> Clock:
        """Everyone at the beginning; where nobody is, there is nothing to do."""
        there = np.asarray(batch.numbers).any(axis=1)
        clock = Clock.start(self.seed, batch.n_systems, self.fused.first_status)
        return clock.replace(
            status=np.where(there, clock.status, self.fused.exit_status).astype(np.int32),
            system_id=np.where(there, clock.system_id, VACANT).astype(np.int32),
        )

    def _entering(self, clock: Clock) -> Clock:
        """Systems enter their sub-stages anew, at the ages that they have."""
        zero = np.zeros(len(clock.status), np.int32)
        return clock.replace(stage_age=zero, attempt=zero, ended=zero)
