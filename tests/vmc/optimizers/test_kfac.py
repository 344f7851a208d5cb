"""K-FAC: its blocks and steps are those of its definition, and of kfac-jax where that runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import ComplexPerceptron, Perceptron, jacobian, quick_jit, walkers

from adiabat.electrons.molecule import Molecule
from adiabat.electrons.wavefunctions import FermiNet, Psiformer
from adiabat.errors import InputError
from adiabat.vmc.gradient import LossAndGrad
from adiabat.vmc.log_psi import as_log_psi
from adiabat.vmc.optimizers import AutoDamping, KFACOptimizer, Piecewise, kronecker
from adiabat.vmc.optimizers.kfac import KFACState

pytestmark = pytest.mark.usefixtures("x64")

WALKERS = 12
HYDROGEN = Molecule(("H", "H"), np.array([[0, 0, 0], [0, 0, 1.4]]))


class Steps:
    """An optimizer at work on a network, with other walkers and other energies in each step."""

    def __init__(self, network, **settings):
        self.log_psi = as_log_psi(network.log_psi)
        self.params = jax.tree.map(jnp.asarray, network.init(0))
        given = dict(learning_rate=0.1, damping=1e-3, norm_constraint=None, inverse_update_period=1)
        self.optimizer = KFACOptimizer(**{**given, **settings}, f_log_psi=self.log_psi)
        self.state = self.optimizer.init(self.params, batched_data=self.data(0))
        self.step = quick_jit(self._step)

    def data(self, step):
        return jax.tree.map(jnp.asarray, walkers(WALKERS, seed=step))

    def residuals(self, step):
        rng = np.random.default_rng(100 + step)
        energies = rng.standard_normal(WALKERS)
        one = jax.tree.map(lambda a: a[0], self.data(step))
        if jnp.iscomplexobj(jax.eval_shape(self.log_psi, self.params, one)):
            energies = energies + 1j * rng.standard_normal(WALKERS)
        return LossAndGrad(clip=None).residuals(jnp.asarray(energies))

    def gradient(self, step):
        loss = LossAndGrad(clip=None, f_log_psi=self.log_psi)
        return loss.gradient(self.params, self.data(step), self.residuals(step))

    def _step(self, state, data, residuals):
        return self.optimizer.update(None, state, self.params, batched_data=data, residuals=residuals)

    def run(self, *steps):
        """Updates of these steps, one after the other, with the same parameters."""
        found = []
        for step in steps:
            updates, self.state = self.step(self.state, self.data(step), self.residuals(step))
            found.append(updates)
        return found


def assert_same(found, expected, tolerance):
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        mine = dict(jax.tree_util.tree_leaves_with_path(found))[path]
        error, size = (np.linalg.norm(np.asarray(a).ravel()) for a in (mine - leaf, leaf))
        assert error < tolerance * size, jax.tree_util.keystr(path)


class Linear:
    """One dense layer of one output: its Fisher matrix is a Kronecker product."""

    def init(self, key):
        return {"w": np.random.default_rng(0).standard_normal((3, 1))}

    def log_psi(self, params, x):
        return jnp.sum(x[:1] @ params["w"])


def test_where_the_fisher_matrix_is_a_kronecker_product_it_is_the_natural_gradient():
    steps = Steps(Linear(), damping=1e-18, curvature_ema=0.0)
    (updates,) = steps.run(0)
    scores = jacobian(steps.log_psi, steps.params, steps.data(0))
    fisher = 2 * scores.T @ scores / WALKERS
    expected = -0.1 * np.linalg.solve(fisher, np.ravel(steps.gradient(0)["w"]))
    np.testing.assert_allclose(np.ravel(updates["w"]), expected, rtol=1e-6)


class Biased:
    """Two electrons share a layer with a bias; a parameter beside it."""

    def __init__(self, is_complex):
        self.is_complex = is_complex

    def init(self, key):
        rng = np.random.default_rng(0)
        return {"b": rng.standard_normal(2), "free": np.array([0.3, 0.7]), "w": rng.standard_normal((3, 2))}

    def log_psi(self, params, x):
        values = jnp.sum(jnp.sin(x @ params["w"] + params["b"]), axis=0) - params["free"] * jnp.sum(x * x)
        return jax.lax.complex(values[0] * values[1], values[1]) if self.is_complex else values[0] * values[1]


@pytest.mark.parametrize("large", [kronecker.LARGE, 2], ids=["whole", "halves"])
@pytest.mark.parametrize("is_complex", [False, True])
def test_blocks_are_those_of_the_definition(is_complex, large, monkeypatch):
    """``2 A (x) B / repeats`` of a layer, ``2 Re <O* O>`` of the others; damping shared by mean eigenvalues."""
    monkeypatch.setattr(kronecker, "LARGE", large)
    steps = Steps(Biased(is_complex), damping=0.03)
    found = steps.run(0, 1)[-1]

    def cotangents(x):
        """(parts, electrons, outputs) of one walker."""
        product = jnp.asarray(x @ steps.params["w"])

        def value(product, part):
            values = jnp.sum(jnp.sin(product + steps.params["b"]), axis=0) - steps.params["free"] * jnp.sum(x * x)
            return (values[0] * values[1], values[1])[part]

        return jnp.stack([jax.grad(value)(product, part) for part in range(1 + is_complex)])

    a, b, diagonal, weight = np.zeros((4, 4)), np.zeros((2, 2)), np.zeros(2), 0.0
    for step in (0, 1):
        x = np.asarray(steps.data(step)["electrons"])
        inputs = np.concatenate([x, np.ones((WALKERS, 2, 1))], axis=-1).reshape(-1, 4)
        outputs = np.asarray(jax.vmap(cotangents)(x)).reshape(-1, 2)
        free = jacobian(steps.log_psi, steps.params, steps.data(step))[:, 2:4]
        a = 0.95 * a + inputs.T @ inputs / WALKERS
        b = 0.95 * b + 2 * outputs.T @ outputs / WALKERS
        diagonal = 0.95 * diagonal + 2 * np.mean(np.abs(free) ** 2, axis=0)
        weight = 0.95 * weight + 1
    a, b, diagonal = a / weight, b / weight, diagonal / weight
    ratio, root = np.sqrt(np.trace(a) / 4 / (np.trace(b) / 2)), np.sqrt(2 * 0.03)
    gradient = steps.gradient(1)
    joined = np.concatenate([gradient["w"], gradient["b"][None]])
    block = np.linalg.inv(a + ratio * root * np.eye(4)) @ joined @ np.linalg.inv(b + root / ratio * np.eye(2)) * 2
    expected = {"b": -0.1 * block[-1], "free": -0.1 * gradient["free"] / (diagonal + 0.03), "w": -0.1 * block[:-1]}
    assert_same(found, expected, 1e-6)


NETWORKS = {
    "FermiNet": FermiNet(
        molecule=HYDROGEN,
        start="random",
        layers=2,
        one_electron_width=8,
        pair_width=4,
        determinants=2,
        dtype="float64",
    ),
    "attention": Psiformer(
        molecule=HYDROGEN, start="random", layers=1, heads=2, head_width=4, determinants=2, dtype="float64"
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("settings", [{}, {"norm_constraint": 1e-3, "inverse_update_period": 2}], ids=["plain", "all"])
def test_whole_steps_are_those_of_kfac_jax(name, settings):
    """The blocks it calls generic are given: from one batch it takes the square of the mean instead of the mean of
    the squares."""
    pytest.importorskip("kfac_jax")
    from kfac_jax_peer import Peer

    steps = Steps(NETWORKS[name], **settings)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(steps.params)]
    generic = [leaf for leaf, name in enumerate(names) if "decay" in name or "range" in name]
    peer = Peer(steps.log_psi, steps.params, generic, damping=1e-3, **{"norm_constraint": None, **settings})
    for step in range(3):
        (found,) = steps.run(step)
        gradient = jax.tree.map(lambda g: -0.1 * g, steps.gradient(step))
        assert_same(found, peer.step(gradient, steps.data(step)["electrons"]), 1e-4)


def test_each_parameter_does_what_it_says():
    def last(*steps, **settings):
        return Steps(Perceptron(True), **settings).run(*steps)[-1]

    def differ(one, other):
        return any(not np.allclose(a, b, rtol=1e-4) for a, b in zip(one.values(), other.values(), strict=True))

    plain = last(0, 1)
    assert_same(last(0, 1, learning_rate=0.2), jax.tree.map(lambda u: 2 * u, plain), 1e-6)
    assert_same(last(0, 1, curvature_ema=0.0), last(1), 1e-9)
    assert differ(last(0, 1, curvature_ema=0.0), plain)
    # The penalty on the parameters is one more damping.
    assert_same(last(0, 1, l2_reg=0.5, damping=0.5), last(0, 1, damping=1.0), 1e-6)
    assert_same(last(0, 1, score_chunk_size=5), plain, 1e-9)
    assert_same(last(0, 1, score_chunk_size=None), plain, 1e-9)
    # Schedules, in the second step.
    for name, before, after in [
        ("learning_rate", 0.3, 0.2),
        ("damping", 0.1, 0.02),
        ("norm_constraint", 1e-3, 1e-6),
    ]:
        steps = Steps(Perceptron(True), **{name: Piecewise((before, after), (1,))})
        first, second = steps.run(0, 1)
        assert_same(first, last(0, **{name: before}), 1e-6)
        assert_same(second, last(0, 1, **{name: after}), 1e-6)
    assert_same(last(0, 1, curvature_ema=Piecewise((0.5, 0.25), (1,))), last(0, 1, curvature_ema=0.25), 1e-6)
    assert_same(last(0, 1, l2_reg=Piecewise((0.1, 0.5), (1,))), last(0, 1, l2_reg=0.5), 1e-6)
    # With much damping it is the gradient.
    gradient = Steps(Perceptron(True)).gradient(0)
    much = last(0, damping=1e8, learning_rate=1.0)
    assert_same(jax.tree.map(lambda u: -1e8 * u, much), gradient, 1e-2)


@pytest.mark.parametrize("network", [Perceptron(), Perceptron(True), ComplexPerceptron()], ids=["real", "complex", "z"])
def test_the_gradient_will_do_where_there_are_no_residuals(network):
    steps = Steps(network)
    (expected,) = steps.run(0)
    given = Steps(network)
    update = quick_jit(lambda *a: given.optimizer.update(*a[:3], batched_data=a[3]))
    found, state = update(given.gradient(0), given.state, given.params, given.data(0))
    assert_same(found, expected, 1e-6)
    assert float(state.damping.last) == pytest.approx(float(steps.state.damping.last), rel=1e-5)
    with pytest.raises(ValueError, match="needs the gradient of the energy, or residuals="):
        given.optimizer.update(None, given.state, given.params, batched_data=given.data(0))


def test_the_length_of_a_step_is_capped_in_the_metric_of_the_curvature():
    steps = Steps(Perceptron(), norm_constraint=1e-6)
    free, capped = Steps(Perceptron()).run(0)[0], steps.run(0)[0]
    flat = [np.concatenate([np.ravel(u) for u in updates.values()]) for updates in (free, capped)]
    gradient = np.concatenate([np.ravel(g) for g in steps.gradient(0).values()])
    squared_length = -0.1 * flat[0] @ gradient
    np.testing.assert_allclose(flat[1], flat[0] * np.sqrt(1e-6 / squared_length), rtol=1e-5)
    loose = Steps(Perceptron(), norm_constraint=1e6).run(0)[0]
    assert_same(loose, free, 1e-12)


def test_inverses_are_kept_for_as_long_as_told():
    """In the second step of two the factors have changed and their inverses have not."""
    every, second = Steps(Perceptron()), Steps(Perceptron(), inverse_update_period=2)
    assert_same(second.run(0)[0], every.run(0)[0], 1e-9)
    kept = second.state.inverses
    second.run(1)
    jax.tree.map(np.testing.assert_array_equal, second.state.inverses, kept)
    every.run(1)
    assert_same(second.run(2)[0], every.run(2)[0], 1e-9)
    assert every.state.inverses is None


def test_damping_follows_the_trust_ratio():
    steps = Steps(Perceptron(), damping=AutoDamping(start=1e-3, factor=0.5, lowest=1e-4))
    dampings = []
    for _ in range(4):
        steps.run(0)
        dampings.append(float(steps.state.damping.damping))
    # The same walkers confirm all that was promised; damping falls to the lowest.
    np.testing.assert_allclose(dampings, [1e-3, 5e-4, 2.5e-4, 1.25e-4], rtol=1e-5)
    assert 0.5 < float(steps.state.diagnostics["trust_ratio"]) <= 2.0


def test_complex_parameters_are_pairs_of_real_ones():
    """They are no layers; their diagonal blocks are exact, so the update is that of the pairs."""
    network = ComplexPerceptron()
    steps = Steps(network)
    found = steps.run(0)[0]
    assert found["first"].dtype == np.complex128
    gradient = steps.gradient(0)

    def of_pairs(pairs, walker):
        params = {n: (p[0] + 1j * p[1]) if n != "decay" else p for n, p in pairs.items()}
        return network.log_psi(params, walker)

    pairs = {n: np.stack([p.real, p.imag]) if n != "decay" else np.asarray(p) for n, p in steps.params.items()}
    scores = jacobian(of_pairs, pairs, steps.data(0))
    diagonal = 2 * np.mean(np.abs(scores) ** 2, axis=0) + 1e-3
    sizes = [pairs[n].size for n in sorted(pairs)]
    blocks = dict(zip(sorted(pairs), np.split(diagonal, np.cumsum(sizes)[:-1]), strict=True))
    for name in ("first", "last"):
        real, imaginary = blocks[name].reshape(2, *found[name].shape)
        expected = -0.1 * (gradient[name].real / real + 1j * gradient[name].imag / imaginary)
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)


def test_it_says_which_parameters_are_diagonal():
    network = NETWORKS["attention"]
    optimizer = KFACOptimizer(f_log_psi=as_log_psi(network.log_psi))
    names = optimizer.diagonal_parameters(network.init(0), {"electrons": jnp.ones((1, 2, 3))})
    assert all(any(word in name for word in ("decay", "weight", "range", "scale", "shift")) for name in names)
    assert "jastrow.range" in names
    (remark,) = optimizer.remarks(network.init(0), jax.tree.map(jnp.asarray, walkers(3)))
    assert remark.startswith(f"K-FAC: {len(names)} of 18 arrays of parameters are of no dense layer")
    assert "jastrow.range" in remark


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("settings", [dict(damping=-1.0), dict(curvature_ema=1.0), dict(inverse_update_period=0)])
def test_what_it_cannot_be_is_refused(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        KFACOptimizer(**settings)


def test_an_optimizer_without_a_wavefunction_is_refused():
    with pytest.raises(ValueError, match="wired"):
        KFACOptimizer().init({"w": np.ones(2)}, batched_data={"electrons": jnp.ones((3, 2, 3))})
    assert KFACState._fields[0] == "step"
