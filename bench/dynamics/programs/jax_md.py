"""jax-md: functions that its user puts together and compiles. Boxes side by side by `vmap`; nothing is in flight."""

from __future__ import annotations

from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402 - 64 bits have to be there first
import numpy as np  # noqa: E402
from jax import lax  # noqa: E402
from jax_md import partition, quantity, simulate, smap, space  # noqa: E402

from bench.dynamics.programs.served import Inputs, Round, kinetic_energies, serve  # noqa: E402

FS = 0.09822694788464063  # in angstrom sqrt(amu/eV), the unit of time where those of energy, length and mass are so


def _pair(inputs: Inputs) -> Any:
    """The energy of a pair, as in all the other programs: jax-md's own is smoothed towards the cutoff."""

    def energy(r: Any) -> Any:
        def full(r: Any) -> Any:
            s6 = (inputs.sigma / r) ** 6
            return 4 * inputs.epsilon * (s6 * s6 - s6)

        near = (r > 0) & (r < inputs.cutoff)
        return jnp.where(near, full(jnp.where(near, r, inputs.cutoff)) - full(inputs.cutoff), 0.0)

    return energy


def _state(inputs: Inputs, positions: Any, velocities: Any, force: Any) -> Any:
    mass = jnp.full((*positions.shape[:-1], 1), inputs.mass)
    return simulate.NVEState(positions, velocities / FS * inputs.mass, force, mass)


def boxes(inputs: Inputs) -> Round:
    """All pairs, one box mapped over all of them."""
    displacement, shift = space.periodic(jnp.asarray(np.diag(inputs.cells[0])), wrapped=True)
    energy = smap.pair(_pair(inputs), space.canonicalize_displacement_or_metric(displacement))
    force = quantity.force(energy)
    _, step = simulate.nve(energy, shift, dt=inputs.dt * FS)
    positions, velocities = (jnp.asarray(np.stack(inputs.split(x))) for x in (inputs.positions, inputs.velocities))
    state = _state(inputs, positions, velocities, jax.jit(jax.vmap(force))(positions))
    steps = jax.jit(lambda state, n: lax.fori_loop(0, n, lambda _, state: jax.vmap(step)(state), state))

    def run(n: int) -> dict[str, Any]:
        nonlocal state
        state = steps(state, n)
        velocity = np.asarray(state.momentum / inputs.mass).reshape(-1, 3)
        return {"kinetic": kinetic_energies(inputs, velocity)}

    return run


def crystal(inputs: Inputs) -> Round:
    """A neighbor list that is asked at every step whether it is out of date."""
    lengths = np.diag(inputs.cells[0])
    displacement, shift = space.periodic(jnp.asarray(lengths), wrapped=True)
    metric = space.canonicalize_displacement_or_metric(displacement)
    energy = smap.pair_neighbor_list(_pair(inputs), metric)
    # The fastest of its three formats here: each pair is there once.
    neighbors = partition.neighbor_list(
        displacement,
        lengths,
        inputs.cutoff,
        dr_threshold=inputs.skin,
        format=partition.NeighborListFormat.OrderedSparse,
    )
    positions = jnp.asarray(inputs.positions) % jnp.asarray(lengths)
    found = neighbors.allocate(positions)
    force = jax.jit(quantity.force(energy))(positions, neighbor=found)
    _, step = simulate.nve(energy, shift, dt=inputs.dt * FS)
    state = _state(inputs, positions, jnp.asarray(inputs.velocities), force)

    def one(_: Any, carry: Any) -> Any:
        state, found, builds = carry
        before = found.reference_position
        state = step(state, neighbor=found)
        found = found.update(state.position)
        return state, found, builds + jnp.any(found.reference_position != before)

    steps = jax.jit(lambda carry, n: lax.fori_loop(0, n, one, carry))
    builds = jnp.zeros((), int)

    def run(n: int) -> dict[str, Any]:
        nonlocal state, found, builds
        state, found, builds = steps((state, found, builds), n)
        if found.did_buffer_overflow:
            raise RuntimeError("the neighbor list of jax-md is too small")
        velocity = np.asarray(state.momentum / inputs.mass)
        return {"kinetic": kinetic_energies(inputs, velocity), "builds": int(builds)}

    return run


if __name__ == "__main__":
    serve({"boxes": boxes, "crystal": crystal})
