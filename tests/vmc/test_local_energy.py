"""The local energy: constant for exact wavefunctions, real or complex, with nodes and with cusps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import Perceptron, coulomb, lengths, quick_jit, walkers

from adiabat.vmc.local_energy import KineticEnergy, Potential, Total, evaluate_all
from adiabat.vmc.walkers import over_walkers

pytestmark = pytest.mark.usefixtures("x64")


def harmonic(x):
    return 0.5 * jnp.sum(x * x)


def harmonium(x):
    """Two electrons in a well of frequency 1/2 (Taut, Phys. Rev. A 48, 3561, 1993)."""
    return 0.125 * jnp.sum(x * x) + 1 / lengths(x[0] - x[1])


def log_harmonium(params, x):
    return jnp.log1p(lengths(x[0] - x[1]) / 2) - jnp.sum(x * x) / 4


def log_rotating(params, x):
    """Oscillator with one quantum of angular momentum, (x + i y) exp(-r^2 / 2)."""
    return jnp.log(jax.lax.complex(x[0, 0], x[0, 1])) - jnp.sum(x * x) / 2


def log_pair_orbital(params, x):
    """2p orbital of hydrogen, z exp(-r / 2), which has a node."""
    return jnp.log(jnp.abs(x[0, 2])) - lengths(x[0]) / 2, jnp.where(x[0, 2] < 0, jnp.pi, 0.0)


EXACT = {
    "hydrogen": (1, lambda params, x: -lengths(x[0]), coulomb, -0.5),
    "hydrogen 2p": (1, log_pair_orbital, coulomb, -0.125),
    "oscillator": (1, lambda params, x: -jnp.sum(x * x) / 2, harmonic, 1.5),
    "oscillators": (4, lambda params, x: -jnp.sum(x * x) / 2, harmonic, 6.0),
    "rotating oscillator": (1, log_rotating, harmonic, 2.5),
    "two electrons in a well": (2, log_harmonium, harmonium, 2.0),
}


def energies(log_psi, potential, particles, dtype, count=16):
    estimators = {"kinetic": KineticEnergy(log_psi), "potential": Potential(potential), "total": Total()}
    of_all = over_walkers(lambda params, walker: evaluate_all(estimators, params, walker))
    return jax.tree.map(np.asarray, quick_jit(of_all)(None, walkers(count, particles, dtype=dtype)))


@pytest.mark.parametrize(("particles", "log_psi", "potential", "energy"), EXACT.values(), ids=EXACT)
def test_exact_wavefunctions_have_a_constant_local_energy(particles, log_psi, potential, energy):
    values = energies(log_psi, potential, particles, "float64")
    np.testing.assert_allclose(values["total"], energy, rtol=0, atol=1e-11)
    assert np.std(values["potential"]) > 0.1


def test_single_precision_loses_no_more_than_its_rounding():
    values = energies(log_harmonium, harmonium, 2, "float32")
    assert values["total"].dtype == np.float32
    # The largest term that cancels is 1 / r12, of order ten at most for these walkers.
    np.testing.assert_allclose(values["total"], 2.0, rtol=0, atol=100 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
def test_kinetic_energy_is_that_of_the_hessian(is_complex):
    """``-1/2 laplacian(psi) / psi`` of psi itself."""
    network = Perceptron(is_complex)
    data, params = walkers(5, 2), network.init(0)

    def by_hessian(walker):
        def part(take, power):
            value = lambda x: take(network.log_psi(params, x.reshape(2, 3)))  # noqa: E731
            flat = walker["electrons"].ravel()
            return jnp.trace(jax.hessian(value)(flat)) if power == 2 else jax.grad(value)(flat)

        laplacian, gradient = part(jnp.real, 2), part(jnp.real, 1)
        if is_complex:
            laplacian, gradient = laplacian + 1j * part(jnp.imag, 2), gradient + 1j * part(jnp.imag, 1)
        return -0.5 * (laplacian + jnp.sum(gradient**2))

    kinetic = KineticEnergy(network.log_psi)
    found = quick_jit(jax.vmap(lambda walker: kinetic.evaluate(params, walker, {})))(data)
    np.testing.assert_allclose(found, quick_jit(jax.vmap(by_hessian))(data), rtol=1e-12)


def test_estimators_read_the_results_before_them_and_no_others():
    class Seen:
        def evaluate(self, params, walker, previous):
            return jnp.asarray(float(len(previous)))

    walker = {"electrons": jnp.ones((1, 3))}
    values = evaluate_all({"a": Seen(), "b": Seen(), "sum": Total(("a", "b", "b"))}, None, walker)
    assert {name: float(value) for name, value in values.items()} == {"a": 0, "b": 1, "sum": 2}
    with pytest.raises(KeyError, match="later"):
        evaluate_all({"sum": Total(("later",)), "later": Seen()}, None, walker)


def test_only_the_named_field_has_kinetic_energy():
    def log_psi(params, walker):
        return -jnp.sum(walker["light"] ** 2) / 2 - jnp.sum(walker["heavy"] ** 2)

    walker = {"light": jnp.array([[0.1, 0.2, 0.3]]), "heavy": jnp.array([[0.5, 0.0, 0.0]])}
    light = KineticEnergy(log_psi, field="light").evaluate(None, walker, {})
    assert float(light) == pytest.approx(1.5 - 0.14 / 2, rel=1e-6)
