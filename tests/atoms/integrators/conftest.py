"""Makes `integrator_toys.py` importable."""

import sys
from pathlib import Path

import jax
import jaxtyping
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def x64():
    """The scope in which the engine traces everything."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def unchecked():
    """Annotations are not checked, as in a user's program: what is wrong has to be told by the code itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
