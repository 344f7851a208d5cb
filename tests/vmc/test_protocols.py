"""What is given to the stages is checked when given, and the message names what is missing."""

import pytest
from vmc_toys import Exponential

from adiabat.config import ConfigManager
from adiabat.errors import InputError
from adiabat.vmc.local_energy import Total
from adiabat.vmc.optimizers import AdamOptimizer, SROptimizer
from adiabat.vmc.protocols import (
    ConfigManagerLike,
    EstimatorLike,
    NumericWavefunctionEvaluate,
    OptimizerLike,
    SamplerLike,
    WavefunctionLike,
    require,
)
from adiabat.vmc.sampling import MCMCSampler
from adiabat.vmc.stages import VMCWorkStageConfig

OURS = [
    (Exponential(), WavefunctionLike),
    (Total(), EstimatorLike),
    (MCMCSampler(), SamplerLike),
    (SROptimizer(), OptimizerLike),
    (AdamOptimizer(), OptimizerLike),
    (ConfigManager(), ConfigManagerLike),
]


@pytest.mark.parametrize(("thing", "protocol"), OURS, ids=lambda x: getattr(x, "__name__", type(x).__name__))
def test_our_own_classes_are_accepted(thing, protocol):
    require(thing, protocol, "it")
    assert isinstance(thing, protocol)


@pytest.mark.parametrize(
    ("thing", "protocol", "lacks"),
    [
        (3, OptimizerLike, "the thing is 3, which is no OptimizerLike: it has no `init` and no `update`"),
        (MCMCSampler(), OptimizerLike, "it has no `update`"),
        (
            object(),
            SamplerLike,
            "no `walkers` and no `steps` and no `moves` and no `init` and no `propose` and no `adapt`",
        ),
        (object(), WavefunctionLike, "it has no `init` and no `log_psi`"),
        ({}, ConfigManagerLike, "it has no `scoped` and no `get_module` and no `finalize`"),
        (SROptimizer, OptimizerLike, "it is a class"),
    ],
)
def test_the_message_names_the_object_and_what_it_lacks(thing, protocol, lacks):
    with pytest.raises(TypeError, match="the thing is") as raised:
        require(thing, protocol, "the thing")
    assert lacks in str(raised.value)


def test_a_function_is_a_numeric_evaluation_of_a_wavefunction():
    assert isinstance(lambda params, walker: 0.0, NumericWavefunctionEvaluate)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MCMCSampler(walkers=0), r"MCMCSampler\.walkers: expected an integer >= 1, got 0"),
        (lambda: SROptimizer(damping=-1.0), r"SROptimizer\.damping: .*got -1\.0"),
        (lambda: AdamOptimizer(b1=1.0), r"AdamOptimizer\.b1: .*got 1\.0"),
        (lambda: VMCWorkStageConfig(iterations=-1), r"VMCWorkStageConfig\.iterations: .*got -1"),
    ],
)
def test_settings_given_in_python_are_checked_as_those_of_files(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()
