"""Two devices do what one does: in a process of its own, because devices are counted when JAX starts."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from engine_toys import Walk, walkers
from adiabat.engine import Checkpoints, Driver

class Spread(Walk):
    def partition(self):
        return {"x": P(None, "walkers"), "parameter": P()}, P()

    def renewable(self):
        return {"kind": "moment"}

def made(folder, mesh):
    stage = Spread(name="a", n_steps=10) + Spread(name="b", n_steps=15)
    return Driver(stage, systems=walkers(1, 8), mesh=mesh, seed=2, checkpoints=Checkpoints(folder))

mesh = Mesh(np.array(jax.devices()), ("walkers",))
assert mesh.size == 2
one = made(sys.argv[1] + "/one", None)
two, pieces = (made(sys.argv[1] + name, mesh) for name in ("/two", "/three"))
one.run()
two.compile()
two.run()
x = two.state.systems["x"]
assert x.sharding.is_equivalent_to(NamedSharding(mesh, P(None, "walkers")), x.ndim), x.sharding
for name in ("x", "parameter"):
    np.testing.assert_allclose(one.state.systems[name], two.state.systems[name], rtol=1e-6)
pieces.run(12)
resumed = made(sys.argv[1] + "/three", mesh)
resumed.restore()
resumed.run()
for name in ("x", "parameter"):
    np.testing.assert_array_equal(resumed.state.systems[name], two.state.systems[name])
hooked = made(sys.argv[1] + "/four", mesh)
hooked.run(25, callback=lambda step, log_data, driver: True if step % 5 else None)
np.testing.assert_allclose(hooked.state.systems["x"], two.state.systems["x"], rtol=1e-6)

def begun_anew(name, mesh, *cuts):
    made(sys.argv[1] + name, mesh).run(4)
    renew = ["kind"]
    for end in (*cuts, 25):
        piece = made(sys.argv[1] + name, mesh)
        piece.restore(renew=renew)
        renew = []
        piece.run(end - piece.step_count)
    return piece.state.systems

alone, both, cut = begun_anew("/five", None), begun_anew("/six", mesh), begun_anew("/seven", mesh, 7)
assert not np.array_equal(both["parameter"], two.state.systems["parameter"])
for name in ("x", "parameter"):
    np.testing.assert_allclose(alone[name], both[name], rtol=1e-6)
    np.testing.assert_array_equal(cut[name], both[name])
"""


def test_two_devices_give_the_results_of_one_and_resume_to_the_bit(tmp_path):
    here = Path(__file__)
    path = os.pathsep.join([str(here.parent), str(here.parents[2] / "src"), os.environ.get("PYTHONPATH", "")])
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "PYTHONPATH": path, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
