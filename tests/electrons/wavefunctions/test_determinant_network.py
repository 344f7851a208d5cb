"""Laws that hold for every network of determinants, whatever its parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import HARTREE_FOCK, LIH, RANDOM, case, quick_jit, shaken, six_walkers, small, without_network

from adiabat.electrons.molecule import Molecule
from adiabat.electrons.wavefunctions import FermiNet, Psiformer
from adiabat.vmc.local_energy import KineticEnergy

UP, DOWN = [0, 1], [2, 3]
STEP = 1e-4

FITTED = [(FermiNet, HARTREE_FOCK), (Psiformer, HARTREE_FOCK)]
ALL = [*FITTED, (FermiNet, RANDOM), (Psiformer, RANDOM)]
CUSPS_FROM_JASTROW = [*FITTED, (Psiformer, RANDOM)]
"""FermiNet that starts at random sees the distance of two electrons itself."""


def networks(cases):
    """Small networks for LiH, two electrons of each spin, as the argument `psi`."""
    names = [f"{kind.__name__} {start}" for kind, start in cases]
    return pytest.mark.parametrize("psi", cases, ids=names, indirect=True)


@pytest.fixture
def psi(request):
    return case(*request.param)


def exchanged(x, i, j):
    order = list(range(x.shape[1]))
    order[i], order[j] = order[j], order[i]
    return x[:, order]


def slope(psi, center, directions, offset=0.0):
    """Slope of log|psi| at a coalescence, along a ray and its opposite, whose smooth parts cancel.

    ``directions`` (electrons, 3) is how the particles move apart; ``offset`` is the power of the distance with which
    psi vanishes. The derivative at zero is extrapolated from three points, with an error of order STEP**2.
    """
    radii = STEP * np.array([1.0, 2.0, 3.0])
    walkers = np.stack([center + sign * r * directions for sign in (1, -1) for r in radii])
    log_abs, _ = psi(walkers)
    f = log_abs.reshape(2, 3).mean(axis=0) - offset * np.log(radii)
    return np.dot([-5, 8, -3], f) / (2 * STEP)


@networks(ALL)
@pytest.mark.parametrize("pair", [UP, DOWN], ids=["up", "down"])
def test_exchanging_electrons_of_equal_spin_changes_the_sign(psi, pair):
    x = six_walkers()
    (before, phase), (after, other_phase) = psi(x), psi(exchanged(x, *pair))
    np.testing.assert_allclose(after, before, rtol=1e-11)
    np.testing.assert_allclose(np.abs(other_phase - phase), np.pi)


@networks(ALL)
def test_exchanging_electrons_of_opposite_spin_is_no_symmetry(psi):
    x = six_walkers()
    assert np.abs(psi(exchanged(x, 1, 2))[0] - psi(x)[0]).min() > 1e-4


def spins_exchanged(params):
    """Parameters with what belongs to spin up and spin down exchanged, orbitals and their order included."""

    def columns(leaf):
        return leaf.reshape(len(leaf), -1, 4)[..., [2, 3, 0, 1]].reshape(leaf.shape)

    def halves(leaf):
        return np.concatenate(np.split(leaf, 2)[::-1])

    trunk = dict(params["trunk"])
    if "embedding" in trunk:
        weights = trunk["embedding"]["w"].copy()
        weights[-1] *= -1  # multiplies the sign of the spin
        trunk["embedding"] = {"w": weights}
    else:
        by_spin = ("means", "pairs")
        trunk["layers"] = [
            {name: {"w": halves(part["w"])} if name in by_spin else part for name, part in layer.items()}
            for layer in trunk["layers"]
        ]
    result = {**params, "trunk": trunk}
    for name in ("orbitals", "envelopes"):
        result[name] = jax.tree.map(columns, params[name])[::-1]
    if "start" in params:
        result["start"] = {**params["start"], "coefficients": params["start"]["coefficients"][::-1]}
    return result


@networks(ALL)
def test_up_and_down_differ_by_their_parameters_only(psi):
    """Exchange the spins of all electrons and of all parameters: psi is the same, sign included."""
    x = six_walkers()
    found = psi(x[:, [*DOWN, *UP]], spins_exchanged(psi.params))
    np.testing.assert_allclose(found, psi(x), rtol=1e-11)


@networks(FITTED)
def test_the_start_of_a_closed_shell_is_a_singlet(psi):
    """psi(down, up) = psi(up, down) of the fitted orbitals; the random network that is added to them breaks it."""
    x, params = six_walkers(), psi.network.init(1)
    start = {**params, "orbitals": jax.tree.map(np.zeros_like, params["orbitals"])}
    np.testing.assert_allclose(psi(x[:, [*DOWN, *UP]], start), psi(x, start), rtol=1e-11)
    assert np.abs(psi(x[:, [*DOWN, *UP]], params)[0] - psi(x, params)[0]).max() > 1e-3


@networks(CUSPS_FROM_JASTROW)
@pytest.mark.parametrize(("pair", "cusp"), [((0, 2), 0.5), ((0, 1), 0.25), ((2, 3), 0.25)], ids=["ud", "uu", "dd"])
def test_electrons_meet_with_the_exact_cusp(psi, pair, cusp):
    """1/2 for opposite spins; 1/4 for equal ones, where psi vanishes in proportion to their distance."""
    center, directions = six_walkers()[0], np.zeros((4, 3))
    center[pair[1]] = center[pair[0]]
    directions[pair[0]] = np.array([1, 2, 2]) / 6
    directions[pair[1]] = -directions[pair[0]]
    vanishing = 1.0 if cusp == 0.25 else 0.0
    assert slope(psi, center, directions, vanishing) == pytest.approx(cusp, abs=1e-3)


@networks(FITTED)
@pytest.mark.parametrize(("electron", "nucleus", "charge"), [(0, 0, 3), (3, 0, 3), (1, 1, 1), (2, 1, 1)])
def test_electrons_meet_nuclei_with_the_exact_cusp(psi, electron, nucleus, charge):
    center, directions = six_walkers()[0], np.zeros((4, 3))
    center[electron] = LIH.positions[nucleus]
    directions[electron] = np.array([2, -1, 2]) / 3
    assert slope(psi, center, directions) == pytest.approx(-charge, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        (FermiNet, HARTREE_FOCK),
        (Psiformer, RANDOM),
        pytest.param(FermiNet, RANDOM, marks=pytest.mark.slow),
        pytest.param(Psiformer, HARTREE_FOCK, marks=pytest.mark.slow),
    ],
)
def test_the_forward_laplacian_is_that_of_the_hessian(kind, start):
    network = small(kind, start)

    def by_hessian(params, x):
        log_abs = lambda flat: network.log_psi(params, flat.reshape(4, 3))[0]  # noqa: E731
        gradient = jax.grad(log_abs)(x.ravel())
        return -0.5 * (jnp.trace(jax.hessian(log_abs)(x.ravel())) + gradient @ gradient)

    def by_forward_laplacian(params, x):
        return KineticEnergy(network.log_psi).evaluate(params, {"electrons": x}, {})

    def both(params, walkers):
        return jax.lax.map(lambda x: (by_forward_laplacian(params, x), by_hessian(params, x)), walkers)

    with jax.enable_x64(True):
        found, expected = quick_jit(both)(shaken(network.init(0)), six_walkers()[:2])
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("charge", [1, 2, 3, 4])
def test_the_start_of_a_one_electron_ion_holds_its_exact_ground_state(charge):
    """exp(-Z r): the first exponent is Z, all other parts of the orbital are left out."""
    symbol = ("H", "He", "Li", "Be")[charge - 1]
    ion = Molecule((symbol,), np.zeros((1, 3)), charge=charge - 1, spin=1)
    network = small(FermiNet, HARTREE_FOCK, ion, determinants=1, layers=1)
    params = without_network(network.init(0))
    (coefficients,) = params["start"]["coefficients"]
    params["start"] |= {
        "log_exponents": np.full_like(params["start"]["log_exponents"], np.log(charge)),
        "coefficients": [np.where(np.arange(len(coefficients)) == 0, 1.0, 0.0)[:, None]],
    }
    x = np.random.default_rng(0).standard_normal((50, 1, 3))

    def local_energy(params, x):
        kinetic = KineticEnergy(network.log_psi).evaluate(params, {"electrons": x}, {})
        return kinetic - charge / jnp.sqrt(jnp.sum(x * x))

    with jax.enable_x64(True):
        energies = np.asarray(quick_jit(jax.vmap(local_energy, in_axes=(None, 0)))(params, x))
    np.testing.assert_allclose(energies, -(charge**2) / 2, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [FermiNet, Psiformer])
def test_single_precision_is_double_precision_rounded(kind):
    single, double = (small(kind, RANDOM, dtype=dtype) for dtype in ("float32", "float64"))
    params, x = double.init(0), six_walkers()
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(single.init(0)))
    rounded = jax.tree.map(np.float32, (params, x))
    with jax.enable_x64(True):
        coarse = quick_jit(jax.vmap(single.log_psi, in_axes=(None, 0)))(*rounded)
        fine = quick_jit(jax.vmap(double.log_psi, in_axes=(None, 0)))(params, x)
    assert all(part.dtype == np.float32 for part in coarse)
    np.testing.assert_allclose(coarse[0], fine[0], rtol=1e-5)


def test_parameters_come_from_an_integer_or_a_key_and_nothing_else():
    network = small(Psiformer, RANDOM)
    same = jax.tree.map(np.array_equal, network.init(3), network.init(3))
    assert jax.tree.all(same)
    keyed = jax.tree.map(np.array_equal, network.init(jax.random.key(3)), network.init(jax.random.key(3)))
    assert jax.tree.all(keyed)
    assert not np.array_equal(network.init(3)["orbitals"][0]["w"], network.init(4)["orbitals"][0]["w"])


def test_shapes_are_known_before_hartree_fock():
    """What is compiled while Hartree-Fock runs has the shapes of what it finds."""
    blank = FermiNet(molecule=LIH, start=HARTREE_FOCK, determinants=2)
    fitted = small(FermiNet, HARTREE_FOCK, layers=None, one_electron_width=None, pair_width=None, dtype="float32")
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), network.init(0)) for network in (blank, fitted)]
    assert shapes[0] == shapes[1]


def test_one_determinant_is_enough_for_two_electrons():
    helium = Molecule(("He",), np.zeros((1, 3)))
    assert FermiNet(molecule=helium).n_determinants == 1
    assert FermiNet(molecule=LIH).n_determinants == 4
    assert FermiNet(molecule=helium, determinants=3).n_determinants == 3
    assert FermiNet(molecule=helium, size="default").n_determinants == 16


def test_the_description_tells_apart_what_has_other_parameters():
    networks = [
        FermiNet(molecule=LIH),
        FermiNet(molecule=LIH, layers=3),
        FermiNet(molecule=LIH, jastrow=False),
        FermiNet(molecule=LIH, dtype="float64"),
        FermiNet(molecule=LIH, determinants=5),
        Psiformer(molecule=LIH),
    ]
    assert len({network.description for network in networks}) == len(networks)
    assert FermiNet(molecule=LIH, layers=2).description == FermiNet(molecule=LIH).description


def test_a_network_without_a_molecule_is_refused():
    with pytest.raises(ValueError, match=r"FermiNet was used before it was wired"):
        FermiNet().init(0)
