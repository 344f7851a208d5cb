"""What all networks of determinants share: orbitals from features, envelopes, determinants, Jastrow factors."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.config import setting, wired
from adiabat.electrons.molecule import Molecule
from adiabat.electrons.wavefunctions.dense import dense, init_dense
from adiabat.electrons.wavefunctions.determinants import log_sum_of_determinants
from adiabat.electrons.wavefunctions.envelopes import envelopes, init_envelopes
from adiabat.electrons.wavefunctions.geometry import (
    PAIR_RATE,
    Geometry,
    cusp_rates,
    cuspless_length,
    geometry,
    resolved_features,
)
from adiabat.electrons.wavefunctions.jastrow import electron_jastrow, init_electron_jastrow, nuclear_jastrow
from adiabat.electrons.wavefunctions.slater_orbitals import (
    HartreeFockStart,
    SlaterBasis,
    slater_basis,
    slater_determinant_orbitals,
)
from adiabat.electrons.wavefunctions.spins import Spins

Params = dict[str, Any]
NETWORK_SHARE = 0.05
"""Scale of the network's part in the orbitals of a wavefunction that starts as Hartree-Fock."""


@dataclass(frozen=True, kw_only=True)
class DeterminantNetwork(abc.ABC):
    """``psi = exp(J) sum_k det[phi_kj(x_i; all x)]`` with orbitals that see all electrons.

    A subclass gives the features of each electron (its trunk). ``size`` sets what is not given: `small` starts as a few
    Hartree-Fock determinants with exact cusps and is trained at once; `default` and `large` are the published networks,
    to be pretrained.

    Raises
    ------
    ValueError
        When used before it is wired to a molecule.
    """

    size: Literal["small", "default", "large"] = setting("small", help="sets all that is not given")
    determinants: int | None = setting(None, min=1, help="number of determinants; null: by size")
    start: Literal["hartree-fock", "random"] | None = setting(
        None, help="hartree-fock: orbitals start as a few Hartree-Fock determinants; null: by size"
    )
    jastrow: bool = setting(True, help="Jastrow factor with the exact electron-electron cusps")
    dtype: Literal["float32", "float64"] = setting("float32", help="precision of parameters and walkers")
    molecule: Molecule | None = wired()
    hartree_fock_start: HartreeFockStart | None = wired()

    sizes: ClassVar[dict[str, dict[str, Any]]]
    """For each size, what is set by it."""

    def chosen(self, name: str) -> Any:
        """A setting, or where it is None its value by size."""
        value = getattr(self, name)
        return self.sizes[self.size][name] if value is None else value

    @property
    def n_determinants(self) -> int:
        """Number of determinants; one is enough for one or two electrons in a small network."""
        if self.determinants is None and self.size == "small" and self.spins.electrons <= 2:
            return 1
        return int(self.chosen("determinants"))

    @property
    def description(self) -> str:
        """Everything that decides the shapes of the parameters, in one line."""
        parts = [f"{name} {self.chosen(name)}" for name in self.sizes[self.size] if name != "determinants"]
        parts += [
            f"determinants {self.n_determinants}",
            f"jastrow {'yes' if self.jastrow else 'no'}",
            self.dtype,
        ]
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def starts_from_hartree_fock(self) -> bool:
        """Whether the orbitals start as Hartree-Fock without pretraining."""
        return bool(self.chosen("start") == "hartree-fock")

    @property
    def spins(self) -> Spins:
        """Numbers of electrons by spin."""
        return Spins(self._wired.n_up, self._wired.n_down)

    @property
    def _wired(self) -> Molecule:
        if self.molecule is None:
            raise ValueError(f"{type(self).__name__} was used before it was wired: give it a molecule")
        return self.molecule

    @property
    def basis(self) -> SlaterBasis:
        """Slater functions of the orbitals that start as Hartree-Fock."""
        return slater_basis(self._wired.numbers)[0]

    @property
    @abc.abstractmethod
    def trunk_width(self) -> int:
        """Features of each electron that come out of the trunk."""

    @abc.abstractmethod
    def init_trunk(self, rng: np.random.Generator) -> Params:
        """Parameters of the trunk."""

    @abc.abstractmethod
    def trunk(self, params: Params, geometry: Geometry) -> Float[Array, "electrons width"]:
        """Features of each electron, equivariant under exchange of electrons of equal spin."""

    def init(self, key: Any) -> Params:
        """Parameters, drawn in NumPy from an integer seed or a key of JAX.

        Without ``hartree_fock_start`` a network that starts from it has blank orbitals: the shapes of its parameters.
        """
        words = key if isinstance(key, int) else np.asarray(jax.random.key_data(key)).ravel().tolist()
        rng = np.random.default_rng(words)
        spins, count = self.spins, self.n_determinants * self.spins.electrons
        trunk = self.init_trunk(rng)
        from_hartree_fock = self.starts_from_hartree_fock
        scale = NETWORK_SHARE if from_hartree_fock else 1.0
        params: Params = {
            "trunk": trunk,
            "orbitals": [
                init_dense(rng, self.trunk_width, count, bias=False, scale=scale, dtype=self.dtype)
                for _ in spins.channels
            ],
            "envelopes": init_envelopes(spins, self._wired.n_atoms, count, dtype=self.dtype),
        }
        if self.jastrow and spins.electrons > 1:
            params["jastrow"] = init_electron_jastrow(dtype=self.dtype)
        if from_hartree_fock:
            start = self.hartree_fock_start or HartreeFockStart.blank(self.basis, spins, self.n_determinants)
            params["start"] = start.init(self.dtype)
            params["envelopes"] = start.envelopes(self.basis, spins, self.dtype)
        return params

    def log_psi(self, params: Params, x: Float[Array, "electrons 3"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """log|psi| and phase (0 or pi) of one walker; spin-up electrons come first. Positions in bohr."""
        places = geometry(x, self._wired.positions)
        log_abs, phase = log_sum_of_determinants(self._orbitals_at(params, places))
        if "jastrow" in params:
            log_abs = log_abs + electron_jastrow(params["jastrow"], self.spins, places)
        if "start" in params:
            log_abs = log_abs + nuclear_jastrow(self._wired.numbers, places)
        return log_abs, phase

    def orbitals(
        self, params: Params, x: Float[Array, "electrons 3"]
    ) -> Float[Array, "determinants electrons electrons"]:
        """``phi[k, i, j]``: orbital j of determinant k at electron i."""
        return self._orbitals_at(params, geometry(x, self._wired.positions))

    def _orbitals_at(self, params: Params, places: Geometry) -> Float[Array, "determinants electrons electrons"]:
        spins = self.spins
        h = self.trunk(params["trunk"], places)
        decays = envelopes(params["envelopes"], spins, self.electron_nucleus_lengths(places))
        rows = [
            dense(layer, h[channel]) * decay
            for layer, channel, decay in zip(params["orbitals"], spins.channels, decays, strict=True)
        ]
        values = jnp.concatenate(rows).reshape(spins.electrons, self.n_determinants, spins.electrons)
        values = values.transpose(1, 0, 2)
        if "start" in params:
            values = values + slater_determinant_orbitals(params["start"], self.basis, spins, places)
        return values

    def electron_nucleus_lengths(self, places: Geometry) -> Float[Array, "electrons nuclei"]:
        """Distances as the network sees them: without cusps where the Jastrow factor has them."""
        if not self.starts_from_hartree_fock:
            return places.nuclear_lengths
        return cuspless_length(places.nuclear_lengths, cusp_rates(self._wired.numbers))

    def nuclear_features(self, places: Geometry) -> Float[Array, "electrons nuclei 4"]:
        """Distance and vector from each nucleus to each electron, cusp-free and resolving the core where the Jastrow
        factor has the cusps; else as they are."""
        vectors, lengths = places.nuclear_vectors, self.electron_nucleus_lengths(places)
        if self.starts_from_hartree_fock:
            return resolved_features(vectors, lengths, self._wired.numbers)
        return jnp.concatenate([lengths[..., None], vectors], axis=-1)

    def pair_features(self, places: Geometry) -> Float[Array, "electrons electrons 4"]:
        """The same between the electrons."""
        vectors, lengths = places.pair_vectors, places.pair_lengths
        if self.starts_from_hartree_fock:
            return resolved_features(vectors, cuspless_length(lengths, PAIR_RATE), PAIR_RATE)
        return jnp.concatenate([lengths[..., None], vectors], axis=-1)
