"""Functions of one walker over all of them: chunks and devices change the speed, not the result."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vmc_toys import Perceptron, quick_jit, walkers

from adiabat.errors import InputError
from adiabat.vmc.walkers import over_walkers, walker_mesh, weighted_gradient

HERE = Path(__file__)


@pytest.mark.parametrize("chunk", [1, 5, 12, 100])
@pytest.mark.usefixtures("x64")
def test_chunks_change_nothing(chunk):
    network = Perceptron(is_complex=True)
    params, data = network.init(0), walkers(12)

    def both(chunk):
        weights = jnp.arange(12) + 1j
        return over_walkers(network.log_psi, chunk=chunk)(params, data), weighted_gradient(
            network.log_psi, params, data, weights, chunk=chunk
        )

    found, expected = quick_jit(both, static_argnums=0)(chunk), quick_jit(both, static_argnums=0)(None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, expected)


def test_a_pytree_of_results_keeps_its_form():
    data = {"x": jnp.arange(6.0), "y": jnp.ones((6, 2))}
    found = over_walkers(lambda params, walker: {"sum": params + walker["x"], "y": walker["y"]}, chunk=4)(2.0, data)
    np.testing.assert_array_equal(found["sum"], np.arange(6) + 2)
    assert found["y"].shape == (6, 2)


def test_one_device_needs_no_mesh():
    assert walker_mesh(7) is None


@pytest.mark.parametrize(("count", "advice"), [(10, "such as 8"), (3, "such as 4")])
def test_walkers_that_cannot_be_divided_among_the_devices_are_refused(count, advice, monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [None] * 4)
    with pytest.raises(InputError, match=f"{count} walkers .* 4 devices.* {advice}"):
        walker_mesh(count)


@pytest.mark.parametrize(
    "case",
    [
        "toy, SR",
        "toy, MARCH among the parameters",
        "toy, conjugate gradients",
        "complex toy, K-FAC",
        pytest.param("FermiNet, SR", marks=pytest.mark.slow),
        pytest.param("FermiNet, Adam", marks=pytest.mark.slow),
    ],
)
def test_two_devices_give_the_energies_of_one(case):
    """Training and evaluation in double precision: every metric of every step is equal to rounding."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[2] / "src"), str(HERE.parent)]),
        "JAX_PLATFORMS": "cpu",
        # Unoptimised programs are compiled faster, and the law holds for them as well.
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0",
    }
    command = [sys.executable, str(HERE.with_name("two_devices.py")), case]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    one, two = json.loads(done.stdout).values()
    for alone, spread in zip(one, two, strict=True):
        assert spread.pop("stage") == alone.pop("stage")
        assert spread == pytest.approx(alone, rel=1e-9)
    assert len(two) == 4
