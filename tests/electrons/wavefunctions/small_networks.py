"""Both networks in every kind of start, as small as they can be while every part of them is there."""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from adiabat.electrons.hartree_fock import hartree_fock
from adiabat.electrons.molecule import Molecule
from adiabat.electrons.multi_determinant import leading_determinants
from adiabat.electrons.wavefunctions import FermiNet, HartreeFockStart, Psiformer, fit_start

quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiles in half the time what runs once or twice."""

LIH = Molecule(("Li", "H"), np.array([[0, 0, 0], [0, 0, 3.015]]))
HARTREE_FOCK, RANDOM = "hartree-fock", "random"
WIDTHS: dict[type, dict[str, int]] = {
    FermiNet: dict(layers=2, one_electron_width=6, pair_width=3),
    Psiformer: dict(layers=2, heads=2, head_width=3),
}


@cache
def start_of(molecule: Molecule, determinants: int) -> HartreeFockStart:
    """The fitted orbitals of a molecule."""
    hf = hartree_fock(molecule)
    return fit_start(molecule, hf.basis_name, leading_determinants(hf, determinants))


def small(kind: type, start: str, molecule: Molecule = LIH, determinants: int = 2, **settings: Any) -> Any:
    """A network in double precision."""
    given = {**WIDTHS[kind], "dtype": "float64", **settings}
    fitted = start_of(molecule, determinants) if start == HARTREE_FOCK else None
    return kind(molecule=molecule, determinants=determinants, start=start, hartree_fock_start=fitted, **given)


def shaken(params: Any, seed: int = 0) -> Any:
    """Parameters in general position: nothing zero, nothing equal, no channel like the other."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: p + 0.1 * rng.standard_normal(p.shape).astype(p.dtype), params)


def without_network(params: Any) -> Any:
    """Orbitals that are the fitted ones alone, and no electron-electron Jastrow factor."""
    orbitals = jax.tree.map(np.zeros_like, params["orbitals"])
    return {name: part for name, part in params.items() if name != "jastrow"} | {"orbitals": orbitals}


class Case(NamedTuple):
    """A network, its parameters in general position, and its values at six walkers at a time."""

    network: Any
    params: Any
    values: Any

    def __call__(self, walkers: Any, params: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """log|psi| and phase of (6, electrons, 3) walkers."""
        with jax.enable_x64(True):
            return jax.tree.map(np.asarray, self.values(self.params if params is None else params, walkers))


@cache
def case(kind: type, start: str) -> Case:
    """A case ready for use; one program serves all that is asked of it."""
    network = small(kind, start)
    return Case(network, shaken(network.init(1)), quick_jit(jax.vmap(network.log_psi, in_axes=(None, 0))))


def six_walkers(electrons: int = 4, seed: int = 0) -> np.ndarray:
    """Walkers in general position."""
    return np.random.default_rng(seed).standard_normal((6, electrons, 3))
