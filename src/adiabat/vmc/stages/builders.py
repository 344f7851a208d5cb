"""Builders: a work stage is either fully configured or does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from jax.sharding import Mesh

from adiabat.config import ConfigManager
from adiabat.vmc.gradient import LossAndGrad
from adiabat.vmc.log_psi import as_log_psi
from adiabat.vmc.protocols import (
    ConfigManagerLike,
    EstimatorLike,
    OptimizerLike,
    SamplerLike,
    WavefunctionLike,
    require,
)
from adiabat.vmc.sampling import MCMCSampler, SamplePlan
from adiabat.vmc.stages.config import EvaluationWorkStageConfig, VMCWorkStageConfig, WorkStageConfig
from adiabat.vmc.stages.evaluate import ErrorBelow, EvaluationWorkStage
from adiabat.vmc.stages.train import VMCWorkStage
from adiabat.vmc.walkers import over_walkers

# Not typing.Self, which the type checks of the tests do not know in methods.
Builder = TypeVar("Builder", bound="SamplingStageBuilder")
TrainBuilder = TypeVar("TrainBuilder", bound="VMCStageBuilder")


class SamplingStageBuilder:
    """Collects what a sampling stage needs; every ``configure_*`` returns the builder.

    Parameters
    ----------
    cfg : ConfigManagerLike
        Configuration of the stage (a scope of the whole).
    wavefunction : WavefunctionLike
    name : str, optional
        Default: the name of the scope, then that of the class.
    defaults : WorkStageConfig, optional
        Values of settings that are not given, in place of those of ``config_class``.
    mesh : Mesh, optional
        Devices over which walkers are spread.
    chunk : int, optional
        Walkers whose local energy is evaluated at a time where the configuration leaves it open.

    Raises
    ------
    TypeError
        When one of them is not what it should be, naming what it lacks.
    """

    config_class: ClassVar[type[WorkStageConfig]] = WorkStageConfig

    def __init__(
        self,
        cfg: ConfigManagerLike,
        wavefunction: WavefunctionLike,
        *,
        name: str | None = None,
        defaults: WorkStageConfig | None = None,
        mesh: Mesh | None = None,
        chunk: int | None = None,
    ) -> None:
        require(cfg, ConfigManagerLike, "cfg")
        require(wavefunction, WavefunctionLike, "wavefunction")
        self.cfg = cfg
        self.wavefunction = wavefunction
        self.name = name or getattr(cfg, "name", "") or type(self).__name__
        self.mesh = mesh
        self.config: Any = cfg.get("", defaults if defaults is not None else self.config_class)
        self.chunk = self.config.chunk or chunk
        self._plan: SamplePlan | None = None
        self._estimators: dict[str, EstimatorLike] | None = None

    def configure_sample_plan(
        self: Builder, f_log_amplitude: Any, samplers: Mapping[str | tuple[str, ...], Any] | None = None
    ) -> Builder:
        """Which field is sampled by which sampler; None takes the configured one for the electrons."""
        if samplers is None:
            samplers = {"electrons": self.cfg.get_module("sampler", MCMCSampler, family="samplers")}
        by_field: dict[str, Any] = {}
        for fields, sampler in samplers.items():
            require(sampler, SamplerLike, f"the sampler of {fields!r}")
            by_field |= dict.fromkeys([fields] if isinstance(fields, str) else fields, sampler)
        amplitude = over_walkers(as_log_psi(f_log_amplitude).log_abs, mesh=self.mesh)
        self._plan = SamplePlan(amplitude, by_field)
        return self

    def configure_estimators(self: Builder, **estimators: EstimatorLike) -> Builder:
        """Named estimators, evaluated in this order; each may read the results of those before it."""
        for name, estimator in estimators.items():
            require(estimator, EstimatorLike, f"the estimator {name!r}")
        self._estimators = dict(estimators)
        return self

    def ensure_configured(self) -> None:
        """Resolve defaults and check that nothing is missing.

        Raises
        ------
        ValueError
            If estimators were not configured.
        """
        if self._plan is None:
            self.configure_sample_plan(self.wavefunction.log_psi)
        if self._estimators is None:
            raise ValueError(f"stage {self.name!r} has no estimators: call configure_estimators before build")

    def build(self) -> Any:
        """The stage. Only builders of a concrete stage can."""
        raise NotImplementedError(f"{type(self).__name__} builds no stage by itself; use a builder of a work stage")

    def _common(self) -> dict[str, Any]:
        """Arguments of the stage's constructor that all stages share."""
        self.ensure_configured()
        assert self._plan is not None
        assert self._estimators is not None
        return {
            "name": self.name,
            "n_steps": self.config.iterations,
            "log_psi": as_log_psi(self.wavefunction.log_psi),
            "sample_plan": self._plan,
            "estimators": self._estimators,
            "config": self.config,
            "chunk": self.chunk,
            "mesh": self.mesh,
            "wavefunction_name": getattr(self.wavefunction, "description", type(self.wavefunction).__name__),
        }


class EvalStageBuilder(SamplingStageBuilder):
    """Builds an `EvaluationWorkStage`."""

    config_class = EvaluationWorkStageConfig

    def build(self) -> EvaluationWorkStage:
        """The stage; with a threshold for the error it ends when that is reached."""
        error = self.config.error
        convergence = None if error is None else ErrorBelow(error, self.config.check_interval)
        return EvaluationWorkStage(**self._common(), convergence=convergence)


class VMCStageBuilder(SamplingStageBuilder):
    """Builds a `VMCWorkStage`."""

    config_class = VMCWorkStageConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._optimizer: Any = None
        self._optimizer_name = ""
        self._loss_grads: LossAndGrad | None = None

    def configure_optimizer(
        self: TrainBuilder, *, default: Any = "sr", f_log_psi: Any = None, **kwargs: Any
    ) -> TrainBuilder:
        """The configured optimizer, or ``default``: a class, an instance, a registered name or a module path.

        Raises
        ------
        TypeError
            If what was configured is no `OptimizerLike`.
        """
        log_psi = as_log_psi(f_log_psi or self.wavefunction.log_psi)
        optimizer = self.cfg.get_module("optimizer", default, family="optimizers", f_log_psi=log_psi, **kwargs)
        require(optimizer, OptimizerLike, f"the optimizer of stage {self.name!r}")
        self._optimizer = optimizer
        # By the word that chose it: all optimizers of Optax are of one type, and their states look alike.
        chosen = self.cfg.kind_of("optimizer") if isinstance(self.cfg, ConfigManager) else ""
        self._optimizer_name = chosen or f"{type(optimizer).__module__}:{type(optimizer).__qualname__}"
        return self

    def configure_loss_grads(
        self: TrainBuilder, loss_grads: Any = LossAndGrad, *, f_log_psi: Any = None
    ) -> TrainBuilder:
        """The gradient of the energy: a class, which is configured and wired, or a wired instance.

        Raises
        ------
        ValueError
            If `configure_estimators` was not called before.
        """
        if self._estimators is None:
            raise ValueError("call configure_estimators before configure_loss_grads, which differentiates one of them")
        if isinstance(loss_grads, type):
            log_psi = as_log_psi(f_log_psi or self.wavefunction.log_psi)
            wiring = {"f_log_psi": log_psi, "mesh": self.mesh}
            loss_grads = self.cfg.get_module("loss_grads", loss_grads, family="loss_grads", **wiring)
        self._loss_grads = loss_grads
        return self

    def ensure_configured(self) -> None:
        """Resolve defaults and check that nothing is missing, and that the optimizer can do with these walkers.

        Raises
        ------
        ValueError
            If estimators were not configured.
        InputError
            What the optimizer says of the number of walkers.
        """
        super().ensure_configured()
        if self._optimizer is None:
            self.configure_optimizer()
        if self._loss_grads is None:
            self.configure_loss_grads()
        check = getattr(self._optimizer, "check_walkers", None)
        if check is not None and self._plan is not None:
            check(next(iter(self._plan.samplers.values())).walkers)

    def build(self) -> VMCWorkStage:
        """The stage."""
        common = self._common()
        assert self._loss_grads is not None
        return VMCWorkStage(
            **common,
            optimizer=self._optimizer,
            loss_grads=self._loss_grads,
            optimizer_name=self._optimizer_name,
        )
