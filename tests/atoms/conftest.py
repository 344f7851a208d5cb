"""What the tests of atoms share: 64-bit types, and batches made by hand (`building.py`)."""

import sys
from pathlib import Path

import jax
import pytest

# Makes `building.py` importable.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def x64():
    """The scope in which the engine traces and runs everything: 64-bit types exist where they are asked for."""
    with jax.enable_x64(True):
        yield
