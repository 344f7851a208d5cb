"""Builders of work stages: fully configured or not at all, with the reason."""

import pytest
from vmc_toys import Exponential, hydrogen

from adiabat.config import ConfigManager
from adiabat.errors import InputError
from adiabat.vmc import EvaluationWorkStage, LossAndGrad, MCMCSampler, VMCWorkStage, VMCWorkStageConfig
from adiabat.vmc.optimizers import AdamOptimizer, SROptimizer
from adiabat.vmc.stages import ErrorBelow, EvalStageBuilder, SamplingStageBuilder, VMCStageBuilder, WorkStageConfig

PSI = Exponential()
ESTIMATORS = hydrogen(PSI)
BUILDERS = [SamplingStageBuilder, EvalStageBuilder, VMCStageBuilder]


def training(settings=None, **kwargs):
    return VMCWorkStage.builder(ConfigManager(settings or {}), PSI, **kwargs)


def test_calls_chain_and_give_a_stage():
    cfg, sampler = ConfigManager({"train": {"iterations": 7}}), MCMCSampler(walkers=8)
    stage = (
        VMCWorkStage.builder(cfg.scoped("train"), PSI)
        .configure_sample_plan(PSI.log_psi, {"electrons": sampler})
        .configure_optimizer(default="adam", f_log_psi=PSI.log_psi)
        .configure_estimators(**ESTIMATORS)
        .configure_loss_grads(f_log_psi=PSI.log_psi)
        .build()
    )
    cfg.finalize()
    assert isinstance(stage, VMCWorkStage)
    assert (stage.name, stage.n_steps, stage.optimizer) == ("train", 7, AdamOptimizer())
    assert list(stage.estimators) == ["kinetic", "potential", "total"]
    assert stage.signature() == {"wavefunction": "Exponential", "walkers": 8, "optimizer": "adam"}


@pytest.mark.parametrize("builder", BUILDERS)
def test_the_name_is_the_given_one_else_that_of_the_scope_else_that_of_the_class(builder):
    cfg = ConfigManager()
    assert builder(cfg, PSI).name == builder.__name__
    assert builder(cfg.scoped("evaluate"), PSI).name == "evaluate"
    assert builder(cfg.scoped("evaluate"), PSI, name="final").name == "final"


def test_what_is_not_configured_takes_its_default():
    stage = training().configure_estimators(**ESTIMATORS).build()
    assert list(stage.sample_plan.samplers) == ["electrons"]
    assert isinstance(stage.sample_plan.samplers["electrons"], MCMCSampler)
    assert isinstance(stage.optimizer, SROptimizer)
    assert isinstance(stage.loss_grads, LossAndGrad)
    assert stage.config == VMCWorkStageConfig()


def test_the_optimizer_is_asked_about_the_walkers_before_anything_is_computed():
    settings = {"optimizer": {"kind": "sr", "gram_num_chunks": 16}, "sampler": {"kind": "mcmc", "walkers": 15}}
    with pytest.raises(InputError, match="16 chunks for the Gram matrix of 15 walkers; expected at most 15"):
        training(settings).configure_estimators(**ESTIMATORS).build()
    settings["sampler"]["walkers"] = 16
    training(settings).configure_estimators(**ESTIMATORS).build()


def test_the_documented_defaults_of_the_settings():
    config = WorkStageConfig()
    assert (config.iterations, config.burn_in) == (100, 0)
    assert (config.save_time_interval, config.save_step_interval) == (600, 1000)


def test_settings_come_from_the_scope_over_given_defaults():
    defaults = VMCWorkStageConfig(iterations=5, burn_in=3)
    builder = training({"iterations": 9, "sampler": {"walkers": 12}}, defaults=defaults)
    stage = builder.configure_sample_plan(PSI.log_psi).configure_estimators(**ESTIMATORS).build()
    assert (stage.n_steps, stage.config.burn_in) == (9, 3)
    assert stage.sample_plan.samplers["electrons"].walkers == 12


@pytest.mark.parametrize(
    "default",
    [SROptimizer, SROptimizer(), "sr", "adiabat.vmc.optimizers.sr:SROptimizer"],
    ids=["class", "instance", "name", "path"],
)
def test_an_optimizer_is_a_class_an_instance_a_name_or_a_path_and_is_wired(default):
    stage = training().configure_estimators(**ESTIMATORS).configure_optimizer(default=default).build()
    assert isinstance(stage.optimizer, SROptimizer)
    assert stage.optimizer.f_log_psi is not None
    assert stage.loss_grads.f_log_psi is not None


def test_the_configured_optimizer_wins_over_the_default():
    builder = training({"optimizer": {"kind": "adam", "b1": 0.5}}).configure_estimators(**ESTIMATORS)
    assert builder.configure_optimizer(default="sr").build().optimizer.b1 == 0.5


def test_a_sampler_of_several_fields_moves_each():
    sampler = MCMCSampler()
    builder = training().configure_sample_plan(PSI.log_psi, {("electrons", "nuclei"): sampler})
    plan = builder.configure_estimators(**ESTIMATORS).build().sample_plan
    assert dict(plan.samplers) == {"electrons": sampler, "nuclei": sampler}


def test_estimators_keep_their_order():
    names = ["total", "b", "a"]
    estimators = dict.fromkeys(names, ESTIMATORS["total"])
    assert list(training().configure_estimators(**estimators).build().estimators) == names


def test_an_error_threshold_makes_evaluation_end_by_convergence():
    def built(settings):
        return EvaluationWorkStage.builder(ConfigManager(settings), PSI).configure_estimators(**ESTIMATORS).build()

    assert built({}).convergence is None
    assert built({"error": 1e-3, "check_interval": 20}).convergence == ErrorBelow(1e-3, 20)


@pytest.mark.parametrize("builder", [EvalStageBuilder, VMCStageBuilder])
def test_a_stage_without_estimators_is_refused(builder):
    made = builder(ConfigManager(), PSI, name="mine")
    for attempt in (made.ensure_configured, made.build):
        with pytest.raises(ValueError, match="'mine' has no estimators: call configure_estimators"):
            attempt()


def test_a_loss_gradient_before_the_estimators_is_refused():
    with pytest.raises(ValueError, match="configure_estimators before configure_loss_grads"):
        training().configure_loss_grads()


def test_the_base_builds_nothing():
    with pytest.raises(NotImplementedError, match="SamplingStageBuilder builds no stage"):
        SamplingStageBuilder(ConfigManager(), PSI).configure_estimators(**ESTIMATORS).build()


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.usefixtures("unchecked")
def test_what_a_builder_is_given_is_checked_at_once(builder):
    with pytest.raises(TypeError, match=r"cfg is .*no ConfigManagerLike: it has no `scoped`"):
        builder({"iterations": 3}, PSI)
    with pytest.raises(TypeError, match=r"wavefunction is .*no WavefunctionLike: it has no `init` and no `log_psi`"):
        builder(ConfigManager(), "ferminet")


@pytest.mark.usefixtures("unchecked")
def test_what_is_configured_is_checked_at_once():
    with pytest.raises(TypeError, match=r"the sampler of 'electrons' is SROptimizer.*: it has no .*`propose`"):
        training().configure_sample_plan(PSI.log_psi, {"electrons": SROptimizer()})
    with pytest.raises(TypeError, match=r"the estimator 'potential' is .*coulomb.*: it has no `evaluate`"):
        training().configure_estimators(potential=ESTIMATORS["potential"].function)


@pytest.mark.parametrize("wrong", [MCMCSampler(), MCMCSampler, "adiabat.vmc.sampling:MCMCSampler"])
def test_an_optimizer_that_is_none_is_named(wrong):
    with pytest.raises(TypeError, match=r"the optimizer of stage 'train' is MCMCSampler.*: it has no `update`"):
        training(name="train").configure_optimizer(default=wrong)
