"""Psiformer: electrons that attend to each other.

von Glehn, Spencer and Pfau, ICLR 2023 (arXiv:2211.13672).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.config import setting
from adiabat.electrons.wavefunctions.dense import Layer, dense, init_dense
from adiabat.electrons.wavefunctions.determinant_network import DeterminantNetwork, Params
from adiabat.electrons.wavefunctions.geometry import Geometry

NORM_EPSILON = 1e-5


@dataclass(frozen=True, kw_only=True)
class Psiformer(DeterminantNetwork):
    """Layers of self-attention between electrons, each followed by a perceptron; cusps by the Jastrow factor alone."""

    layers: int | None = setting(None, min=1, help="number of attention layers; null: by size")
    heads: int | None = setting(None, min=1, help="attention heads; null: by size")
    head_width: int | None = setting(None, min=1, help="features of a head; null: by size")

    sizes: ClassVar[dict[str, dict[str, Any]]] = {
        "small": dict(layers=2, heads=2, head_width=16, determinants=4, start="hartree-fock"),
        "default": dict(layers=4, heads=4, head_width=64, determinants=16, start="random"),
        "large": dict(layers=4, heads=8, head_width=64, determinants=16, start="random"),
    }

    @property
    def trunk_width(self) -> int:
        """Features of an electron."""
        return int(self.chosen("heads") * self.chosen("head_width"))

    def init_trunk(self, rng: np.random.Generator) -> Params:
        """Parameters of the embedding and of all layers."""
        width = self.trunk_width

        def square(*, bias: bool = False) -> Layer:
            return init_dense(rng, width, width, bias=bias, dtype=self.dtype)

        layers = [
            {
                "attention_norm": _init_norm(width, self.dtype),
                "query": square(),
                "key": square(),
                "value": square(),
                "output": square(),
                "perceptron_norm": _init_norm(width, self.dtype),
                "perceptron": square(bias=True),
            }
            for _ in range(self.chosen("layers"))
        ]
        inputs = 4 * self._wired.n_atoms + 1
        return {"embedding": init_dense(rng, inputs, width, bias=False, dtype=self.dtype), "layers": layers}

    def trunk(self, params: Params, geometry: Geometry) -> Float[Array, "electrons width"]:
        """Features of each electron after the last layer."""
        h = dense(params["embedding"], self._features(geometry))
        for layer in params["layers"]:
            h = h + dense(layer["output"], self._attend(layer, _normalise(layer["attention_norm"], h)))
            h = h + jnp.tanh(dense(layer["perceptron"], _normalise(layer["perceptron_norm"], h)))
        return h

    def _features(self, geometry: Geometry) -> Float[Array, "electrons inputs"]:
        """Vectors and distances to the nuclei, scaled to grow with the logarithm of the distance, and the spin."""
        if self.starts_from_hartree_fock:
            scaled = self.nuclear_features(geometry)
        else:
            growth = jnp.log1p(geometry.nuclear_lengths)[..., None]
            vectors = geometry.nuclear_vectors * (growth / geometry.nuclear_lengths[..., None])
            scaled = jnp.concatenate([growth, vectors], axis=-1)
        spins = jnp.asarray(self.spins.signs, scaled.dtype)[:, None]
        return jnp.concatenate([scaled.reshape(len(scaled), -1), spins], axis=-1)

    def _attend(self, layer: Params, h: Float[Array, "electrons width"]) -> Float[Array, "electrons width"]:
        """Scaled dot-product attention with all heads side by side."""
        heads, each = self.chosen("heads"), self.chosen("head_width")

        def split(name: str) -> Float[Array, "electrons heads each"]:
            return dense(layer[name], h).reshape(len(h), heads, each)

        scale = np.asarray(1 / np.sqrt(each), h.dtype)
        logits = jnp.einsum("ihd,jhd->hij", split("query"), split("key")) * scale
        weights = jax.nn.softmax(logits, axis=-1)
        return jnp.einsum("hij,jhd->ihd", weights, split("value")).reshape(len(h), -1)


def _init_norm(width: int, dtype: str) -> Layer:
    return {"scale": np.ones(width, dtype), "shift": np.zeros(width, dtype)}


def _normalise(params: Layer, h: Float[Array, "electrons width"]) -> Float[Array, "electrons width"]:
    """Layer normalisation over the features (Ba, Kiros and Hinton, arXiv:1607.06450)."""
    centred = h - jnp.mean(h, axis=-1, keepdims=True)
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    return centred / jnp.sqrt(variance + NORM_EPSILON) * params["scale"] + params["shift"]
