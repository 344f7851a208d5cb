"""What every test run shares: annotations checked at run time, and a compilation cache of its own.

The import hook makes each annotation in adiabat a check: a wrong shape, dtype or type fails where the
function is called. It has to be in place before the first import of adiabat, so nothing above it imports it.
"""

import os
from pathlib import Path

import jaxtyping
import pytest
from jaxtyping import install_import_hook

install_import_hook("adiabat", "beartype.beartype")

# Compiled programs survive between runs, which makes the second run of the tests several times faster.
# Only the tests' own folder is used: a test must neither read nor fill the user's cache.
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "jax-tests"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


@pytest.fixture
def unchecked():
    """Annotations are not checked, as in a user's program: what is wrong has to be told by the code itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
