"""What the tests of variational Monte Carlo share."""

import sys
from pathlib import Path

import jax
import pytest

# Makes the wavefunctions of `vmc_toys.py` importable, here and in the processes that tests start.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def x64():
    """The scope in which a Driver traces and runs everything: 64-bit types exist where they are asked for."""
    with jax.enable_x64(True):
        yield
