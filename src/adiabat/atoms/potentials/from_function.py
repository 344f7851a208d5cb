"""A user's own energy, written in JAX for one system; forces and stress by differentiating it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adiabat.atoms.batch import Batch
from adiabat.atoms.potentials.potential import Potential, stress_from
from adiabat.config import did_you_mean, setting
from adiabat.errors import InputError

APART = (1.0e3, 1.0e3 * 2**0.5, 1.0e3 * 3**0.5)
"""Vector in angstrom from one of the atoms that are not there to the next, as the function sees them. Its components
have no common measure, so that no two of these atoms meet when they are wrapped into a cell."""

PADDING_TOLERANCE = 1e-5
"""Relative change of an energy by atoms that are not there above which a function counts them."""


@dataclass(frozen=True, eq=False)
class FromFunction(Potential):
    """The potential of a JAX function ``energy(positions, numbers, cell, mask, ...)`` of one system, in eV.

    Its arguments are handed over by name, those that its signature has:

    ===================  ==============================================================================
    ``positions``        (N, 3), angstrom
    ``numbers``          (N,), atomic numbers
    ``cell``, ``pbc``    (3, 3), lattice vectors in rows; (3,), along which of them the system repeats
    ``mask``             (N,), true for the atoms that are there
    any other            field of the batch of this name, of the atoms (N, ...) or of the system (...)
    ===================  ==============================================================================

    Systems lie in slots of N atoms. Atoms beyond those of a system have number 0 and mask false, and lie far from all
    others and from each other, so that no distance is zero; the energy has to leave them out. Where a slot has room to
    spare, `prepare` evaluates one system with it and without and refuses a function whose energy changes.

    The stress is the derivative by a strain of positions and cell, divided by the volume; without a volume it is zero.

    Raises
    ------
    InputError
        From `check` if an argument is no field of the batch or the function gives no single number; from `prepare` if
        its energy counts atoms that are not there.
    """

    energy: Callable[..., Any] = setting(help="function of one system, as package.module:function")

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.energy, "__name__", type(self.energy).__name__)

    @property
    def reads(self) -> frozenset[str]:
        """All arguments of the function, of which those that a batch has not as its own are the user's fields."""
        return frozenset(inspect.signature(self.energy).parameters)

    def check(self, batch: Batch) -> None:
        """Raise `InputError` if the function cannot be called for the systems of the batch."""
        with jax.enable_x64(True):
            arguments = _arguments(self, batch)
            one = {name: jax.ShapeDtypeStruct(value.shape[1:], value.dtype) for name, value in arguments.items()}
            result = jax.eval_shape(lambda values: self.energy(**values), one)
        if getattr(result, "shape", None) != () or not jnp.issubdtype(result.dtype, jnp.floating):
            what = f"an array {result.dtype}{list(result.shape)}" if hasattr(result, "shape") else repr(result)
            raise InputError(f"the energy function '{self.name}' gives {what}; expected one real number")

    def prepare(self, batch: Batch) -> Batch:
        """The batch as it is, after a look at whether atoms that are not there are left out; on the host."""
        counts = np.sum(np.asarray(batch.numbers) > 0, axis=1)
        padded = np.flatnonzero((counts > 0) & (counts < batch.n_slot_atoms))
        if len(padded):
            slot = int(padded[0])
            with jax.enable_x64(True):
                one = {name: value[slot] for name, value in _arguments(self, batch).items()}
                with_room = float(self.energy(**one))
                of_atoms = _of_atoms(batch)
                alone = {name: value[: counts[slot]] if name in of_atoms else value for name, value in one.items()}
                without = float(self.energy(**alone))
            if np.isfinite(without) and not abs(with_room - without) <= PADDING_TOLERANCE * (1 + abs(without)):
                raise InputError(
                    f"the energy function '{self.name}' counts atoms that are not there: {with_room:g} eV with "
                    f"{batch.n_slot_atoms - counts[slot]} of them, {without:g} eV without; "
                    "leave out those for which its argument 'mask' is false"
                )
        return batch

    def evaluate(self, batch: Batch) -> Batch:
        """The batch with energy, forces and stress."""
        mask = batch.real

        def strained(x: Float[Array, "N 3"], strain: Float[Array, "3 3"], there: Any, values: Any) -> Array:
            deformation = jnp.eye(3) + 0.5 * (strain + strain.T)
            values["positions"] = jnp.where(there[:, None], x @ deformation, x)
            if "cell" in values:
                values["cell"] = values["cell"] @ deformation
            return jnp.asarray(self.energy(**values), jnp.float64)

        differentiated = jax.vmap(jax.value_and_grad(strained, argnums=(0, 1)))
        energy, (gradient, virial) = differentiated(
            _placed(batch), jnp.zeros((batch.n_systems, 3, 3)), mask, _arguments(self, batch)
        )
        occupied = jnp.any(mask, axis=1)
        return batch.replace(
            energy=jnp.where(occupied, energy, 0.0),
            forces=jnp.where(mask[..., None], -gradient, 0.0),
            stress=stress_from(jnp.where(occupied[:, None, None], virial, 0.0), batch),
        )


def _placed(batch: Batch) -> Float[Array, "S N 3"]:
    """Positions, with the atoms that are not there in a row far away from the others."""
    row = -np.arange(1.0, batch.n_slot_atoms + 1)[:, None] * np.array(APART)
    return jnp.where(jnp.asarray(batch.real)[..., None], batch.positions, row)


def _of_atoms(batch: Batch) -> dict[str, Any]:
    """What a function can ask for by name with an axis of atoms, (S, N, ...) each."""
    own = {name: getattr(batch, name) for name in ("numbers", "masses", "velocities", "fixed")}
    return {"positions": _placed(batch), **own, "mask": batch.real, **batch.atom_fields}


def _arguments(potential: FromFunction, batch: Batch) -> dict[str, Array]:
    """The arguments of a potential's function for all systems, (S, ...) each.

    Raises
    ------
    InputError
        If the batch has no field of the name of an argument that must be given.
    """
    there = {**_of_atoms(batch), "cell": batch.cell, "pbc": batch.pbc, **batch.system_fields}
    arguments = {}
    for parameter in inspect.signature(potential.energy).parameters.values():
        if parameter.name in there and parameter.kind is not parameter.POSITIONAL_ONLY:
            arguments[parameter.name] = jnp.asarray(there[parameter.name])
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            raise InputError(
                f"the energy function '{potential.name}' wants '{parameter.name}'; expected arguments among "
                f"{', '.join(there)}{did_you_mean(parameter.name, there)}"
            )
    return arguments
