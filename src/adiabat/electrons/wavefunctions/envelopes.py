"""Envelopes: the decay of the orbitals away from the nuclei."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.electrons.wavefunctions.spins import Spins

Envelope = dict[str, Any]
SLOWEST_DECAY = 0.2
"""1/bohr. About that of the loosest electron: sqrt(2 I) is 0.21 for Li-, whose ionisation energy I is 0.023 hartree."""


def init_envelopes(
    spins: Spins, nuclei: int, orbitals: int, *, decay: np.ndarray | float = 1.0, dtype: str = "float32"
) -> list[Envelope]:
    """One envelope ``sum_I weight_I exp(-|decay_I| r_I)`` for each spin channel and orbital.

    Pfau et al., PRR 2, 033429 (2020), isotropic form of Spencer et al., arXiv:2011.07125.
    """
    start = np.broadcast_to(np.asarray(decay, dtype).reshape(-1, 1), (nuclei, orbitals))
    return [{"weight": np.ones((nuclei, orbitals), dtype), "decay": start.copy()} for _ in spins.channels]


def _rates(decay: Float[Array, "nuclei orbitals"]) -> Float[Array, "nuclei orbitals"]:
    """Decay as it is used: reflected at `SLOWEST_DECAY`, as a modulus is at 0.

    Where its weight is small a decay hardly matters, and wanders. Near 0 psi could not be normalised: walkers would
    leave the molecule, and their scores, which grow with the distance, hide the metric of all others.
    """
    return SLOWEST_DECAY + jnp.abs(jnp.abs(decay) - SLOWEST_DECAY)


def envelopes(
    params: list[Envelope], spins: Spins, distances: Float[Array, "electrons nuclei"]
) -> list[Float[Array, "channel_electrons orbitals"]]:
    """Values of the envelopes at the electrons, a block for each spin channel."""
    return [
        jnp.sum(p["weight"] * jnp.exp(-_rates(jnp.asarray(p["decay"])) * distances[s, :, None]), axis=1)
        for p, s in zip(params, spins.channels, strict=True)
    ]
