"""Dynamics of atoms: what every integrator and relaxer shares, and the handle by which a user runs one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from adiabat.atoms.batch import Batch
from adiabat.atoms.convergence import ConvergenceHook
from adiabat.atoms.dynamics_stage import Criterion, DynamicsStage
from adiabat.atoms.handle import Handle
from adiabat.atoms.potentials.potential import Potential
from adiabat.config import WIRED, setting, wired
from adiabat.engine import FusedStage
from adiabat.errors import InputError, InputTypeError, MissingOutputError

__all__ = ["BaseDynamics"]


@dataclass(eq=False, kw_only=True, repr=False)
class BaseDynamics(Handle):
    """One way to move atoms. Subclasses give three pure functions of the batch: `init`, `pre_update`, `post_update`.

    Forces, energy and stress of the batch are those of its positions in `init` and `pre_update`, and those of the new
    positions in `post_update`. All that evolves is in the batch; this object holds what a user says once.

    Parameters
    ----------
    model : Potential
    hooks : list
        Called at their points of every step.
    convergence_hook : ConvergenceHook or mapping, optional
        When a system has had enough; None: never.
    n_steps : int, optional
        Steps of a system in this stage.
    stress : bool
        Whether the stress is computed even if this dynamics does not need it.
    exit_status : int
        Status of a system that has converged; it then rests.

    What else every stage is told, such as `sampler`, `sinks` and `device_type`: see `StagePlace`.

    Raises
    ------
    InputTypeError
        If ``model`` is no potential.
    MissingOutputError
        If the potential does not give what this dynamics needs.
    """

    model: Potential = field(kw_only=False, metadata=WIRED)
    hooks: list[Any] = field(default_factory=list, metadata=WIRED)
    convergence_hook: ConvergenceHook | Mapping[str, Any] | None = wired()
    n_steps: int | None = setting(None, min=0, help="steps of a system in this stage, at most; null: no limit")
    exit_status: int = wired(1)
    stress: bool = wired(False)

    __needs_keys__: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    """What the potential has to give."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.model, Potential):
            raise InputTypeError(f"the model of {type(self).__name__} is a Potential; got {type(self.model).__name__}")
        missing = self.__needs_keys__ - self.model.gives
        if missing:
            raise MissingOutputError(
                f"{type(self).__name__} needs {' and '.join(sorted(missing))} from its potential, and "
                f"{self.model.name} gives {' and '.join(sorted(self.model.gives))}"
            )
        if isinstance(self.convergence_hook, Mapping):
            self.convergence_hook = ConvergenceHook(self.convergence_hook)
        if self.n_steps is not None and self.n_steps < 0:
            raise InputError(f"n_steps is {self.n_steps}; expected a number of steps, or None for no limit")
        self.hooks = list(self.hooks)

    # --- what a subclass says -------------------------------------------------------------------------------

    def init(self, batch: Batch) -> Batch:
        """The batch with this integrator's private rows for every system in ``batch.own``, a dict of arrays (S, ...):
        at admission and at every refill alike."""
        return batch.replace(own={})

    def pre_update(self, batch: Batch) -> Batch:
        """First part of a step: positions move."""
        return batch

    def post_update(self, batch: Batch) -> Batch:
        """Last part of a step: forces are those of the new positions."""
        return batch

    def check(self, batch: Batch) -> None:
        """See on the host whether every system of the batch can be moved so.

        Raises
        ------
        InputError
            If not, saying which and why.
        """
        del batch

    def observables(self, batch: Batch) -> Mapping[str, Any]:
        """Numbers (S,) of the step for the log, besides energy and fmax."""
        del batch
        return {}

    # --- as a stage -----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The class's name as it is written in tables: "nvt-langevin"."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", type(self).__name__).lower()

    @property
    def __provides_keys__(self) -> frozenset[str]:
        """What the potential gives."""
        return self.model.gives

    @property
    def model_is_conservative(self) -> bool:
        """Whether the forces are the derivatives of the energy; a potential that they are not of has to say so."""
        return bool(getattr(self.model, "conservative", True))

    @property
    def stage(self) -> DynamicsStage:
        """The immutable description that the engine runs, where other stages may follow."""
        return replace(self._alone, n_steps=self.n_steps)

    @property
    def criterion(self) -> ConvergenceHook | None:
        """When a system has had enough; None: never."""
        assert not isinstance(self.convergence_hook, Mapping)
        return self.convergence_hook

    @property
    def _alone(self) -> DynamicsStage:
        hook = self.criterion
        return DynamicsStage(
            name=self.name,
            dynamics=self,
            with_stress=self.stress or "stress" in self.__needs_keys__,
            convergence=None if hook is None else Criterion(hook, self),
            hooks=tuple(self.hooks),
        )

    @property
    def fused(self) -> FusedStage:
        """This stage alone."""
        return FusedStage([(0, self._alone)], exit_status=self.exit_status)

    @property
    def parts(self) -> tuple[BaseDynamics, ...]:
        """This one."""
        return (self,)

    # --- running --------------------------------------------------------------------------------------------

    def run(self, batch: Batch | None = None, n_steps: int | None = None) -> Batch | None:
        """Do so many steps, by default the ``n_steps`` of this object; ends early when all systems have converged.

        Without a batch the sampler's systems go through, in flight, each until it converges or has done the ``n_steps``
        of this object; ``n_steps`` then limits the run as a whole, if it is given. Returns None when all are done.

        Raises
        ------
        InputError
            If neither is given, with neither batch nor sampler, or if a system makes no sense.
        """
        if batch is None:
            return self._run_in_flight(n_steps)
        steps = self.n_steps if n_steps is None else n_steps
        if steps is None:
            raise InputError(f"{type(self).__name__}.run needs n_steps: give it to run, or when you make the dynamics")
        driver = self._driver_of(batch)
        self._advance(driver, steps)
        return self._back(driver)

    def _run_in_flight(self, n_steps: int | None) -> Batch | None:
        if self.sampler is not None and self.n_steps is None and self.criterion is None:
            raise InputError(f"a {type(self).__name__} with neither n_steps nor a convergence_hook lets no system go")
        driver = self._driver_in_flight(FusedStage([(0, self.stage)], exit_status=self.exit_status))
        self._advance(driver, n_steps)
        return None if driver.done else self._back(driver)

    def masked_update(self, batch: Batch, mask: Any) -> Batch:
        """One step of the systems of the mask (S,); all else is left as it is, to the bit."""
        driver = self._driver_of(batch)
        state, chosen = driver.state, np.asarray(mask, bool)
        status = np.asarray(state.clock.status)
        waiting = np.where(chosen, status, self.exit_status).astype(np.int32)
        driver.state = state.replace(clock=state.clock.replace(status=waiting))
        self._advance(driver, 1)
        after = np.where(chosen, np.asarray(driver.state.clock.status), status).astype(np.int32)
        driver.state = driver.state.replace(clock=driver.state.clock.replace(status=after))
        return self._back(driver)

    def __add__(self, other: Any) -> Any:
        from adiabat.atoms.fused_stage import fuse_dynamics

        return fuse_dynamics(self, other)

    def __repr__(self) -> str:
        parts = [self.model.name]
        parts += [repr(self.criterion)] if self.criterion is not None else []
        parts += [f"n_steps={self.n_steps}"] if self.n_steps is not None else []
        parts += [f"{len(self.hooks)} hooks"] if self.hooks else []
        return f"{type(self).__name__}({', '.join(parts)})"
