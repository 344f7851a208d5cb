"""The familiar handle of dynamics, on which hooks are registered and batches are run: a thin face of a Driver."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

from adiabat.atoms.atomic_data import AtomicData, is_reserved
from adiabat.atoms.batch import Batch
from adiabat.atoms.batching import batch_from, put
from adiabat.atoms.buckets import slot_size
from adiabat.atoms.dynamics_stage import as_batch
from adiabat.atoms.in_flight import SamplerSource, SinkOutlet
from adiabat.atoms.per_system import check_lengths
from adiabat.atoms.potentials.potential import Potential
from adiabat.atoms.stage_place import StagePlace
from adiabat.engine import VACANT, Clock, Driver, FusedStage, InFlight, Ledger, MemoryUse, Outcome
from adiabat.engine.compiling import tracing_scope
from adiabat.errors import InputError

if TYPE_CHECKING:
    from adiabat.atoms.dynamics import BaseDynamics

__all__ = ["Handle"]

Rows = Callable[[int], Any]
Self = TypeVar("Self", bound="Handle")


class Handle(StagePlace, abc.ABC):
    """Runs batches through a stage. A batch that comes back is continued as if there had been no break."""

    hooks: list[Any]
    seed: int = 0
    init_fn: Callable[[Batch], Batch] | None = None
    ledger: Ledger | None = None
    """What became of the systems of the sampler, in the run at hand or the last one."""
    _driver: Driver | None = None
    _returned: Batch | None = None
    _steps_before: int = 0

    @property
    @abc.abstractmethod
    def fused(self) -> FusedStage:
        """The immutable description that the engine runs."""

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[BaseDynamics, ...]:
        """The dynamics of the sub-stages."""

    # --- what one looks at ----------------------------------------------------------------------------------

    @property
    def potentials(self) -> tuple[Potential, ...]:
        """What is evaluated, each once."""
        return tuple({id(part.model): part.model for part in self.parts}.values())

    @property
    def step_count(self) -> int:
        """Steps done, over all runs; those that a FusedStage does with this dynamics count when its run ends."""
        return self._steps_before + (0 if self._driver is None else self._driver.step_count)

    @property
    def done(self) -> bool:
        """Whether no system of the last batch has anything left to do, and none waits in the sampler."""
        waiting = self.sampler is not None and not self.sampler.exhausted
        return self._driver is not None and self._driver.done and not waiting

    @property
    def active_batch(self) -> Batch | None:
        """The batch as it is; None before the first."""
        return None if self._driver is None else _seen(self._driver)

    @property
    def active_batch_size(self) -> int:
        """Systems in the batch."""
        batch = self.active_batch
        return 0 if batch is None else batch.num_graphs

    @property
    def room_in_active_batch(self) -> int:
        """Systems for which there is room besides those."""
        return max(self.max_batch_size - self.active_batch_size, 0)

    @property
    def active_batch_has_room(self) -> bool:
        """Whether there is room for another system."""
        return self.room_in_active_batch > 0

    # --- what one adds --------------------------------------------------------------------------------------

    def register_hook(self, hook: Any) -> None:
        """Have this called, too: a hook object, a callback or a function."""
        self.hooks.append(hook)
        self._forget()

    def register_bookkeeping_key(self, key: str, init_fn: Rows) -> None:
        """Have a system field of this name in every batch, for hooks to keep something in.

        It goes with its system as all fields do: refills leave that of the others alone, and sinks get it.

        Parameters
        ----------
        key : str
        init_fn : callable
            The field (n, 1) of n systems that begin, unless they bring one.

        Raises
        ------
        InputError
            If the name is one that batches use, or ``init_fn`` gives another shape.
        """
        if is_reserved(key):
            raise InputError(f"{key!r} cannot be a bookkeeping key, because batches use that name: choose another")
        shape = np.shape(init_fn(2))
        if shape != (2, 1):
            raise InputError(f"init_fn of the bookkeeping key {key!r} gives {shape} for 2 systems; expected (2, 1)")
        self._bookkeeping = {**self._bookkeeping, key: init_fn}
        self._forget()

    @property
    def _bookkeeping(self) -> dict[str, Rows]:
        """The registered keys of this object and of its sub-stages."""
        found: dict[str, Rows] = {}
        for part in self.parts:
            found |= vars(part).get("_keys", {})
        return found | vars(self).get("_keys", {})

    @_bookkeeping.setter
    def _bookkeeping(self, keys: dict[str, Rows]) -> None:
        self._keys = keys

    # --- running --------------------------------------------------------------------------------------------

    def step(self, batch: Batch) -> tuple[Batch, np.ndarray | None]:
        """One step; returns the batch and the slots of those that converged or graduated at it, or None."""
        driver = self._driver_of(batch)
        before = np.asarray(driver.state.clock.status)
        self._advance(driver, 1)
        batch = self._back(driver)
        left = np.flatnonzero((before < self.fused.exit_status) & (np.asarray(batch.status) >= self.fused.exit_status))
        return batch, left if len(left) else None

    def memory(self, batch: Batch) -> MemoryUse:
        """What running batches like this one takes, by XLA's own count; the programs are compiled, none is run.

        A batch whose neighbor lists have to grow on the way takes more.
        """
        driver = self._driver_of(batch)
        with self._on_device():
            use = driver.compile()
        self._returned = batch
        return use

    def compute(self, batch: Batch) -> dict[str, Any]:
        """Energy, forces and stress of a batch by name, as the potentials give them; in 64 bits, as in a run."""
        (potential,) = self.potentials
        self._known(batch)
        with tracing_scope():
            found = jax.jit(potential.evaluate)(self._prepared(batch))
        return {name: getattr(found, name) for name in ("energy", "forces", "stress") if name in potential.gives}

    def refill_check(self, batch: Batch, exit_status: int | None = None) -> Batch | None:
        """The batch with those that graduated in the sinks, and fresh systems of the sampler in their places.

        All others go on as if nothing had happened. Systems that found no room in the sinks stay where they are.

        Parameters
        ----------
        exit_status : int, optional
            From which status on a system has graduated; by default that of this stage.

        Returns
        -------
        Batch or None
            None when nobody is left, in the batch and in the sampler: then this stage is `done`.

        Raises
        ------
        RuntimeError
            Without a sampler.
        """
        if self.sampler is None:
            raise RuntimeError(f"{type(self).__name__} has no sampler: nobody can take the places of who graduated")
        driver = self._driver_of(batch)
        clock, last = driver.state.clock, self.fused.exit_status
        if exit_status is not None and exit_status != last:
            status = np.asarray(clock.status)
            graduated = np.where(status >= exit_status, last, status).astype(np.int32)
            driver.state = driver.state.replace(clock=clock.replace(status=graduated))
        flight = driver.in_flight or self._flight_of(batch)
        with self._on_device():
            driver.exchange(flight)
        after = self._back(driver)
        return None if self.done and not after.num_graphs else after

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sink in self.sinks or ():
            sink.close()

    # --- parts ----------------------------------------------------------------------------------------------

    def _driver_of(self, batch: Batch) -> Driver:
        """The Driver that gave this batch back, or a fresh one."""
        if self._driver is None or batch is not self._returned:
            self._forget()
            clock = batch.clock if batch.clock is not None else self._clock(batch)
            self._check(batch.replace(clock=clock), or_more=batch.clock is not None)
            batch = self._prepared(self._with_bookkeeping(batch))
            with self._on_device():
                self._driver = Driver(
                    self.fused,
                    seed=self.seed,
                    systems=batch.replace(clock=None, own=None),
                    clock=self._entering(clock),
                    callbacks=self._outer_hooks,
                )
        return self._driver

    def _driver_in_flight(self, stage: FusedStage) -> Driver:
        """A Driver whose slots the sampler fills; the one of the run before, if that was not at its end."""
        if self.sampler is None:
            raise InputError(f"a {type(self).__name__} without a sampler needs a batch to run")
        if self._driver is None or self._driver.in_flight is None or self._driver.done:
            self._forget()
            for part in self.parts:
                check_lengths(part, len(self.sampler.dataset))
            n_slots = min(self.max_batch_size, len(self.sampler.dataset))
            self.ledger = None
            flight = self._flight(n_slots, slot_size(int(self.sampler.n_atoms.max())))
            with self._on_device():
                self._driver = Driver(stage, seed=self.seed, in_flight=flight, callbacks=self._outer_hooks)
        return self._driver

    def _flight_of(self, batch: Batch) -> InFlight:
        """The exchange of systems for a batch that was begun with some of the sampler's."""
        flight = self._flight(batch.n_systems, batch.n_slot_atoms)
        ids = np.asarray(batch.system_id)
        in_place = ids[(ids >= 0) & (ids < len(flight.ledger)) & np.asarray(batch.numbers).any(axis=1)]
        flight.ledger.admit(in_place[flight.ledger.outcome[in_place] == Outcome.QUEUED].tolist())
        return flight

    def _flight(self, n_slots: int, n_slot_atoms: int) -> InFlight:
        assert self.sampler is not None
        source = SamplerSource(
            self.sampler, self._prepared, n_slots, n_slot_atoms, self.init_fn, self._usable, self._bookkeeping
        )
        flight = InFlight(source, SinkOutlet(self.sinks) if self.sinks else None, self.ledger, self.refill_frequency)
        self.ledger = flight.ledger
        return flight

    def _usable(self, data: AtomicData) -> None:
        """Raise `InputError` for a system with which nothing can be begun."""
        data.check()
        self._known(batch_from([data]))

    def _advance(self, driver: Driver, n_steps: int | None) -> None:
        """Run; the sub-stages count the steps as theirs."""
        with self._counting(driver), self._on_device():
            driver.run(n_steps)

    @contextmanager
    def _counting(self, driver: Driver) -> Iterator[None]:
        before = driver.step_count
        try:
            yield
        finally:
            for part in {id(part): part for part in self.parts if part is not self}.values():
                part._steps_before += driver.step_count - before

    @property
    def _outer_hooks(self) -> list[Any]:
        """Hooks that are not those of a sub-stage."""
        return []

    def _back(self, driver: Driver) -> Batch:
        self._returned = _seen(driver)
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

    def _with_bookkeeping(self, batch: Batch) -> Batch:
        made = {
            key: np.asarray(rows(batch.n_systems))
            for key, rows in self._bookkeeping.items()
            if key not in batch.system_fields
        }
        return batch.replace(system_fields={**batch.system_fields, **made}) if made else batch

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


def _seen(driver: Driver) -> Batch:
    """The batch of a driver; slots that systems have left are empty."""
    batch = as_batch(driver.state)
    left = (np.asarray(batch.system_id) == VACANT) & np.asarray(batch.numbers).any(axis=1)
    return put(batch, np.flatnonzero(left).tolist(), [None] * int(left.sum())) if left.any() else batch
