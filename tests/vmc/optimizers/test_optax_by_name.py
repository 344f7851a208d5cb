"""Any optimizer of Optax by its name: settings from its signature, updates of its own, refusals in one sentence."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adiabat.config import ConfigManager, Flag, expectation, from_flags, settings_of
from adiabat.config.sources import from_yaml
from adiabat.errors import InputError
from adiabat.vmc.optimizers import Cosine, Standard, optax_optimizer

PARAMS = {"weights": jnp.array([[1.0, -2.0], [0.3, 0.7], [0.1, -1.0]]), "bias": jnp.array([0.2, -0.4])}
GRADS = jax.tree.map(jnp.cos, PARAMS)


def flags(*options):
    pairs = [option.partition("=") for option in options]
    return ConfigManager([from_flags(Flag(name.removeprefix("--"), text, name) for name, _, text in pairs)])


def refusal(call):
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def every_name():
    """What in Optax says that it returns an optimizer and takes a learning rate."""
    for prefix, module in (("", optax), ("contrib.", optax.contrib)):
        for name, found in vars(module).items():
            if not inspect.isfunction(found) or name.startswith(("_", "scale_by_")):
                continue
            if "learning_rate" in inspect.signature(found).parameters:
                yield prefix + name


UNUSABLE = {
    *("lbfgs", "contrib.momo", "contrib.momo_adam", "contrib.sophia"),  # need the value of what is minimised
    "contrib.dpsgd",  # needs a gradient for each walker
}


@pytest.mark.parametrize("name", [name for name in every_name() if name not in UNUSABLE])
@pytest.mark.filterwarnings("ignore:Specifying a key")
def test_every_optimizer_of_optax_takes_steps_of_the_right_types(name):
    """As in a compiled run: 64-bit types exist, and parameters and state come out of a step as they went in."""
    kind = optax_optimizer(name)
    required = {one.name: 0.1 for one in settings_of(kind) if one.factory is None}
    if "base_optimizer" in required:
        required["base_optimizer"] = optax.sgd(0.1)
    params = {"weights": jnp.ones((3, 2), jnp.float32), "phase": jnp.ones(2, jnp.complex64)}
    optimizer = kind(**required)

    def step(params):
        state = optimizer.init(params)
        return state, *optimizer.update(params, state, params)

    with jax.enable_x64(True):
        before, updates, after = jax.eval_shape(step, params)
    types = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)] for tree in (before, after, params, updates)]
    assert types[0] == types[1]
    assert types[2] == types[3]
    assert jax.tree.structure(before) == jax.tree.structure(after)


@pytest.mark.parametrize("name", ["adadelta", "adafactor", "sgd", "rprop"])
def test_updates_go_downhill(name):
    """A learning rate of None, which Optax allows here and there, leaves out the sign."""
    optimizer = optax_optimizer(name)(learning_rate=0.01)
    _, state = optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS)  # the first update of some is zero
    updates, _ = optimizer.update(GRADS, state, PARAMS)
    assert sum(float(jnp.vdot(GRADS[one], updates[one])) for one in PARAMS) < 0


@pytest.mark.parametrize(
    ("name", "settings", "theirs"),
    [
        ("sgd", {"learning_rate": 0.1, "momentum": 0.5}, optax.sgd(0.1, momentum=0.5)),
        ("adabelief", {"learning_rate": Standard(0.1, 2.0), "b1": 0.5}, optax.adabelief(Standard(0.1, 2.0), b1=0.5)),
        ("adamw", {"learning_rate": 0.1, "weight_decay": Standard(0.5)}, optax.adamw(0.1, weight_decay=Standard(0.5))),
        ("adafactor", {"learning_rate": 0.1, "momentum": 0.9}, optax.adafactor(0.1, momentum=0.9)),
        ("contrib.prodigy", {"learning_rate": 1.0, "betas": (0.8, 0.9)}, optax.contrib.prodigy(betas=(0.8, 0.9))),
    ],
)
def test_updates_are_those_of_optax(name, settings, theirs):
    ours = optax_optimizer(name)(**settings)
    state, reference = ours.init(PARAMS), theirs.init(PARAMS)
    for step in range(3):
        grads = jax.tree.map(lambda g, step=step: g / (1 + step), GRADS)
        updates, state = ours.update(grads, state, PARAMS, batched_data=None, residuals=None)
        expected, reference = theirs.update(grads, reference, PARAMS)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), updates, expected)


@pytest.mark.parametrize(
    ("name", "setting", "expected", "default"),
    [
        ("adabelief", "learning_rate", "a kind of schedule or a number >= 0", None),
        ("adabelief", "b1", "a kind of schedule or a number", 0.9),
        ("adabelief", "nesterov", "true or false", False),
        ("adamw", "weight_decay", "a kind of schedule or a number", 1e-4),
        ("adamw", "mu_dtype", "one of 'bfloat16', 'float16', 'float32', 'float64' or none", None),
        ("adamw", "mask", "a function as package.module:function or none", None),
        ("adafactor", "dtype_momentum", "one of 'bfloat16', 'float16', 'float32', 'float64'", "float32"),
        ("adafactor", "min_dim_size_to_factor", "an integer", 128),
        ("lars", "trust_ratio_mask", "true or false or a function as package.module:function or none", True),
        ("sgd", "momentum", "a kind of schedule or a number or none", None),
        ("noisy_sgd", "key", "an integer or none", None),
        ("contrib.prodigy", "betas", "2 values: a number, a number", (0.9, 0.999)),
        ("contrib.muon", "preconditioning", "one of 'frobenius', 'spectral', 'aol', 'schatten'", "frobenius"),
    ],
)
def test_settings_are_the_parameters_of_the_signature(name, setting, expected, default):
    (found,) = (one for one in settings_of(optax_optimizer(name)) if one.name == setting)
    assert expectation(found) == expected
    assert (found.factory is None) == (setting == "learning_rate")
    assert found.factory is None or found.default == default


def test_what_only_an_object_can_fill_is_left_to_optax():
    assert "clip_value_fn" not in {one.name for one in settings_of(optax_optimizer("contrib.adopt"))}


def test_meanings_come_from_the_documentation():
    for one in settings_of(optax_optimizer("adafactor")):
        assert one.info.help
        assert not re.search(r"[`\n]|\.$", one.info.help), one.info.help


def test_settings_in_every_notation(tmp_path):
    expected = optax_optimizer("adabelief")(Cosine(0.1, steps=50), b1=0.5)
    file = tmp_path / "run.yaml"
    file.write_text("optimizer: {kind: optax:adabelief, b1: 0.5, learning_rate: {kind: cosine, rate: 0.1, steps: 50}}")
    rate = "--optimizer.learning_rate"
    for cfg in (
        ConfigManager([from_yaml(file)]),
        flags("--optimizer=optax:adabelief", "--optimizer.b1=0.5", f"{rate}={{kind: cosine, rate: 0.1, steps: 50}}"),
        flags(
            "--optimizer.b1=0.5",
            f"{rate}.kind=cosine",
            f"{rate}.rate=0.1",
            f"{rate}.steps=50",
            "--optimizer=optax:adabelief",
        ),
        ConfigManager({"optimizer": {"kind": "optax:adabelief", "b1": 0.5, "learning_rate": Cosine(0.1, steps=50)}}),
        ConfigManager({"optimizer": expected}),
    ):
        assert cfg.get_module("optimizer", "sr", f_log_psi=len) == expected
        cfg.finalize()
        assert cfg.kind_of("optimizer") == "optax:adabelief"
        again = file.with_name("again.yaml")
        again.write_text(cfg.to_yaml())
        assert ConfigManager([from_yaml(again)]).get_module("optimizer", "sr") == expected


def test_a_number_serves_as_a_schedule():
    assert flags("--optimizer=optax:sgd", "--optimizer.learning_rate=1e-3").get_module(
        "optimizer", "sr"
    ) == optax_optimizer("sgd")(1e-3)


def test_the_path_of_a_module_of_optax_is_the_same_name():
    cfg = flags("--optimizer=optax.contrib:dog")
    assert cfg.get_module("optimizer", "sr") == optax_optimizer("contrib.dog")()
    assert cfg.kind_of("optimizer") == "optax:contrib.dog"


def test_values_of_an_object_are_the_defaults():
    ready = optax_optimizer("sgd")(0.1, momentum=0.5)
    assert ConfigManager().get_module("optimizer", ready) is ready
    assert flags("--optimizer.momentum=0.9").get_module("optimizer", ready) == optax_optimizer("sgd")(0.1, momentum=0.9)


def test_a_mask_is_not_asked_about_parameters_that_are_not_its_own():
    masked = optax_optimizer("adamw")(0.1, mask=lambda params: {"weights": params["weights"].ndim > 1, "bias": False})
    plain = optax_optimizer("adamw")(0.1)
    updates, expected = (one.update(GRADS, one.init(PARAMS), PARAMS)[0] for one in (masked, plain))
    np.testing.assert_array_equal(updates["weights"], expected["weights"])
    assert not np.allclose(updates["bias"], expected["bias"], rtol=1e-7, atol=0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["=optax:adabelif"], "--optimizer: Optax has no 'adabelif', did you mean 'adabelief'?"),
        (["=optax:contrib.prodgy"], "--optimizer: Optax has no 'contrib.prodgy', did you mean 'contrib.prodigy'?"),
        (["=optax:_src.alias.adam"], "--optimizer: Optax has no '_src.alias.adam'"),
        (["=optax:cosine_decay_schedule"], "--optimizer: 'cosine_decay_schedule' of Optax is no optimizer: those are"),
        (["=optax:GradientTransformation"], "--optimizer: 'GradientTransformation' of Optax is no optimizer"),
        (["=optax:scale_by_learning_rate"], "--optimizer: 'scale_by_learning_rate' of Optax is no optimizer"),
        (["=optax:contrib"], "--optimizer: 'contrib' of Optax is no optimizer"),
        (["=optax:"], "--optimizer: expected package.module:Class, got 'optax:'"),
        (["=optax:sgd"], "optimizer.learning_rate is required: expected a kind of schedule or a number >= 0"),
        (["=optax:adadelta"], "optimizer.learning_rate is required: expected a kind of schedule or a number >= 0"),
        (
            ["=optax:sgd", ".lerning_rate=1"],
            "--optimizer.lerning_rate: unknown setting, did you mean 'optimizer.learning_rate'?",
        ),
        (
            ["=optax:sgd", ".learning_rate=1", ".momentun=1"],
            "unknown option --optimizer.momentun, did you mean '--optimizer.momentum'?",
        ),
        (["=optax:sgd", ".learning_rate=-1"], "--optimizer.learning_rate: expected a number >= 0, got '-1'"),
        (["=optax:sgd", ".learning_rate=fast"], "--optimizer.learning_rate: unknown schedule 'fast'"),
        (["=optax:sgd", ".learning_rate=1", ".nesterov=2"], "--optimizer.nesterov: expected true or false, got '2'"),
        (["=optax:adam", ".learning_rate=1", ".b1=x"], "--optimizer.b1: unknown schedule 'x'; there is auto, constant"),
        (
            ["=optax:adamw", ".learning_rate=1", ".mask=all"],
            "--optimizer.mask: expected a function as package.module:function or none, got 'all'",
        ),
        (["=optax:lbfgs", ".learning_rate=1"], "optax:lbfgs cannot be used: an update of it needs value, grad, and"),
        (["=optax:polyak_sgd"], "optax:polyak_sgd cannot be used: an update of it needs value beside the gradient"),
        (["=optax:contrib.sophia", ".learning_rate=1"], "optax:contrib.sophia cannot be used as it is set: ValueError"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_is_one_sentence_before_any_compute(options, sentence):
    cfg = flags(*("--optimizer" + option for option in options))
    assert refusal(lambda: (cfg.get_module("optimizer", "sr"), cfg.finalize())).startswith(sentence)


@pytest.mark.parametrize(
    ("name", "setting", "schedule"),
    [
        ("adabelief", "b1", Standard(0.9, 1.0)),
        ("sgd", "momentum", Cosine(0.9, steps=2)),
        ("optimistic_gradient_descent", "alpha", Standard(1.0, 2.0)),
        ("lars", "trust_coefficient", Standard(0.1, 1.0)),
    ],
)
def test_any_number_may_be_a_schedule_also_where_optax_knows_numbers_only(name, setting, schedule):
    """An update with it is that of the number it is at that step."""
    kind = optax_optimizer(name)
    optimizer = kind(0.1, **{setting: schedule})
    state = optimizer.init(PARAMS)
    for step in range(3):
        updates, after = optimizer.update(GRADS, state, PARAMS)
        now = kind(0.1, **{setting: float(schedule(step))})
        assert jax.tree.structure(now.init(PARAMS)) == jax.tree.structure(state)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), updates, now.update(GRADS, state, PARAMS)[0]
        )
        state = after
    assert state.step == 3
