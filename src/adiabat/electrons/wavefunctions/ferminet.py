"""FermiNet: one-electron and pair streams that feed full determinants.

Pfau, Spencer, Matthews and Foulkes, Phys. Rev. Research 2, 033429 (2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.config import setting
from adiabat.electrons.wavefunctions.dense import dense, init_dense
from adiabat.electrons.wavefunctions.determinant_network import DeterminantNetwork, Params
from adiabat.electrons.wavefunctions.geometry import Geometry


@dataclass(frozen=True, kw_only=True)
class FermiNet(DeterminantNetwork):
    """Each layer mixes an electron's features with the means over each spin and over its pairs with each spin.

    The product with the long concatenated vector of the paper is taken block by block, so that the means over all
    electrons are multiplied once and not once for each electron.
    """

    layers: int | None = setting(None, min=1, help="number of layers; null: by size")
    one_electron_width: int | None = setting(None, min=1, help="features of an electron; null: by size")
    pair_width: int | None = setting(None, min=1, help="features of a pair; null: by size")

    sizes: ClassVar[dict[str, dict[str, Any]]] = {
        "small": dict(layers=2, one_electron_width=32, pair_width=8, determinants=4, start="hartree-fock"),
        "default": dict(layers=4, one_electron_width=256, pair_width=32, determinants=16, start="random"),
        "large": dict(layers=4, one_electron_width=512, pair_width=64, determinants=32, start="random"),
    }

    @property
    def trunk_width(self) -> int:
        """Features of each electron."""
        return int(self.chosen("one_electron_width"))

    def init_trunk(self, rng: np.random.Generator) -> Params:
        """Parameters of all layers; the last layer has no pair stream."""
        channels = len(self.spins.channels)
        one, pair = 4 * self._wired.n_atoms, 4
        depth, one_out, pair_out = (self.chosen(k) for k in ("layers", "one_electron_width", "pair_width"))
        layers = []
        for number in range(depth):
            total = one * (1 + channels) + pair * channels
            layer = {
                "one": init_dense(rng, one, one_out, fan_in=total, dtype=self.dtype),
                "means": init_dense(rng, one * channels, one_out, bias=False, fan_in=total, dtype=self.dtype),
                "pairs": init_dense(rng, pair * channels, one_out, bias=False, fan_in=total, dtype=self.dtype),
            }
            if number < depth - 1:
                layer["pair"] = init_dense(rng, pair, pair_out, dtype=self.dtype)
            layers.append(layer)
            one, pair = one_out, pair_out
        return {"layers": layers}

    def trunk(self, params: Params, geometry: Geometry) -> Float[Array, "electrons width"]:
        """Features of each electron after the last layer."""
        spins = self.spins
        one = self.nuclear_features(geometry).reshape(spins.electrons, -1)
        two = self.pair_features(geometry)
        for layer in params["layers"]:
            means = dense(layer["means"], spins.means(one))
            mixed = dense(layer["one"], one) + means + dense(layer["pairs"], spins.means(two))
            one = _with_residual(one, jnp.tanh(mixed))
            if "pair" in layer:
                two = _with_residual(two, jnp.tanh(dense(layer["pair"], two)))
        return one


def _with_residual(
    before: Float[Array, "*rows before"], after: Float[Array, "*rows after"]
) -> Float[Array, "*rows after"]:
    """``(before + after) / sqrt(2)`` where the shapes agree."""
    if before.shape != after.shape:
        return after
    return (before + after) * np.asarray(np.sqrt(0.5), after.dtype)
