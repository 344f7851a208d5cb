"""FermiNet: the network of the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import LIH, RANDOM, quick_jit, shaken, six_walkers, small

from adiabat.electrons.wavefunctions import FermiNet
from adiabat.electrons.wavefunctions.geometry import geometry


def as_in_the_paper(params, x, molecule):
    """Equations (6) and (7) of Pfau et al. (2020): one matrix for the long concatenated vector of each electron."""
    to_nuclei = x[:, None] - molecule.positions
    between = x[:, None] - x[None]
    one = np.concatenate([np.linalg.norm(to_nuclei, axis=-1, keepdims=True), to_nuclei], axis=-1).reshape(len(x), -1)
    two = np.concatenate([np.linalg.norm(between, axis=-1, keepdims=True), between], axis=-1)
    up, down = slice(0, molecule.n_up), slice(molecule.n_up, None)
    for layer in params["layers"]:
        g = [one[up].mean(axis=0), one[down].mean(axis=0)]
        long = [np.concatenate([one[i], *g, two[i, up].mean(axis=0), two[i, down].mean(axis=0)]) for i in range(len(x))]
        weights = np.concatenate([layer[name]["w"] for name in ("one", "means", "pairs")])
        new = np.tanh(np.stack(long) @ weights + layer["one"]["b"])
        one = (new + one) / np.sqrt(2) if new.shape == one.shape else new
        if "pair" in layer:
            new = np.tanh(two @ layer["pair"]["w"] + layer["pair"]["b"])
            two = (new + two) / np.sqrt(2) if new.shape == two.shape else new
    return one


@pytest.mark.usefixtures("x64")
def test_the_trunk_is_that_of_the_paper():
    """Products block by block, means multiplied once, change nothing."""
    network = small(FermiNet, RANDOM, layers=3)
    params, x = shaken(network.init(0)["trunk"]), six_walkers()[0]
    found = quick_jit(lambda params, x: network.trunk(params, geometry(x, LIH.positions)))(params, jnp.asarray(x))
    np.testing.assert_allclose(found, as_in_the_paper(params, x, LIH), rtol=1e-12)


@pytest.mark.parametrize(("size", "widths"), [("default", (256, 32, 16)), ("large", (512, 64, 32))])
def test_the_published_sizes(size, widths):
    network = FermiNet(molecule=LIH, size=size)
    params = network.init(0)
    assert (network.trunk_width, params["trunk"]["layers"][0]["pair"]["w"].shape[1], network.n_determinants) == widths
    assert len(params["trunk"]["layers"]) == 4
    assert "pair" not in params["trunk"]["layers"][-1]
    assert not network.starts_from_hartree_fock


def test_the_number_of_parameters_of_the_published_network_for_lithium_hydride():
    """Trunk, two linear maps to the orbitals without bias, their envelopes, and two ranges of the Jastrow factor."""
    params = FermiNet(molecule=LIH, size="default").init(0)
    layers = 8 * 3 * 256 + 4 * 2 * 256 + 256 + (4 * 32 + 32)
    layers += 2 * (256 * 3 * 256 + 32 * 2 * 256 + 256 + 32 * 32 + 32) + 256 * 3 * 256 + 32 * 2 * 256 + 256
    orbitals = 2 * 256 * 16 * 4 + 2 * 2 * 2 * 16 * 4
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == layers + orbitals + 2
