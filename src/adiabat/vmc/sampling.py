"""Metropolis sampling of |psi|^2 by many walkers at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from adiabat.config import check_settings, setting, wired

Walkers = Mapping[str, Array]


class SamplerState(NamedTuple):
    """What the chains carry from step to step."""

    width: Float[Array, ""]
    """Proposal width in units of the local length scale."""


@dataclass(frozen=True)
class MCMCSampler:
    """Gaussian moves of the particles, accepted by Metropolis and Hastings.

    The width of a particle's move is ``width`` times its local length scale, where the sampler is wired to one (near
    a nucleus electrons move in small steps); the Hastings correction for that is part of the proposal.

    References: Metropolis et al., J. Chem. Phys. 21, 1087 (1953); Hastings, Biometrika 57, 97 (1970). The width is
    adapted by the recursion of Robbins and Monro, Ann. Math. Statist. 22, 400 (1951), in its logarithm.
    """

    walkers: int = setting(1024, min=1, help="number of walkers (Markov chains)")
    steps: int = setting(10, min=1, help="moves between two evaluations of the energy")
    moves: Literal["all-electron", "single-electron"] = setting(
        "all-electron", help="move all particles at once, or one after the other"
    )
    width: float = setting(0.3, above=0, help="initial width of a move, in units of the local length scale")
    target_acceptance: float = setting(0.5, above=0, below=1, help="acceptance to which the width is adapted")
    adaptation_rate: float = setting(0.15, min=0, max=1, help="speed of the adaptation; 0 keeps the width")
    local_scale: Callable[[Array], Array] | None = wired()

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self) -> SamplerState:
        """State before the first move."""
        return SamplerState(jnp.asarray(self.width, jnp.float32))

    def propose(
        self, key: Key[Array, ""], x: Float[Array, "walkers particles 3"], width: Float[Array, ""]
    ) -> tuple[Float[Array, "walkers particles 3"], Float[Array, "walkers particles"]]:
        """Proposed positions, and per particle the log of the ratio of reverse to forward proposal density."""
        noise = jax.random.normal(key, x.shape, x.dtype)
        if self.local_scale is None:
            return x + width * noise, jnp.zeros(x.shape[:-1], x.dtype)
        here = width * self.local_scale(x)
        moved = x + here[..., None] * noise
        there = width * self.local_scale(moved)
        squared = jnp.sum(noise * noise, axis=-1)
        return moved, x.shape[-1] * jnp.log(here / there) + 0.5 * squared * (1 - (here / there) ** 2)

    def adapt(self, state: SamplerState, acceptance: Float[Array, ""]) -> SamplerState:
        """The width after a move that was accepted by this fraction of the walkers."""
        change = self.adaptation_rate * (acceptance - self.target_acceptance)
        return SamplerState(state.width * jnp.exp(change).astype(state.width.dtype))


class Chains(NamedTuple):
    """Walkers, their log|psi| and their samplers."""

    walkers: dict[str, Array]
    log_abs: Float[Array, " walkers"]
    samplers: dict[str, SamplerState]

    @staticmethod
    def of(walkers: Walkers, samplers: Mapping[str, SamplerState]) -> Chains:
        """Chains whose log|psi| is not evaluated yet."""
        x = next(iter(walkers.values()))
        unknown = jnp.full(x.shape[0], -jnp.inf, jnp.promote_types(x.dtype, jnp.float32))
        return Chains(dict(walkers), unknown, dict(samplers))


class MoveStatistics(NamedTuple):
    """What happened in a series of moves."""

    acceptance: Float[Array, ""]
    nonfinite: Float[Array, ""]
    """Proposals whose log|psi| was not finite; they are never accepted."""


@dataclass(frozen=True)
class SamplePlan:
    """Which field of the walkers is moved by which sampler.

    Parameters
    ----------
    log_abs : callable
        ``log|psi|(params, walkers) -> (walkers,)`` of all walkers.
    samplers : mapping
        From field names to samplers; fields are moved in this order, each with random numbers of its own.
    """

    log_abs: Callable[[Any, Walkers], Array]
    samplers: Mapping[str, MCMCSampler]

    def init(self) -> dict[str, SamplerState]:
        """States of the samplers before the first move."""
        return {field: sampler.init() for field, sampler in self.samplers.items()}

    @property
    def steps(self) -> int:
        """Moves of every field between two evaluations."""
        return max(sampler.steps for sampler in self.samplers.values())

    def sample(
        self,
        params: Any,
        chains: Chains,
        key: Key[Array, ""],
        *,
        moves: int | None = None,
        burn_in: int | Int[Array, ""] = 0,
        adapt: bool = True,
        evaluated: bool | Bool[Array, ""] = True,
    ) -> tuple[Chains, MoveStatistics]:
        """Move every field, carrying log|psi| along.

        All of it is one loop around one evaluation of log|psi|: that makes the program small, and quick to compile.

        Parameters
        ----------
        moves : int, optional
            Moves of each field that count; default ``steps``.
        burn_in : int
            Moves before these, which adapt the widths and are in no statistics.
        adapt : bool
            Whether the widths adapt in the moves that count, too.
        evaluated : bool
            Whether ``chains.log_abs`` holds log|psi|; where not, it is evaluated before the first move.
        """
        moves = self.steps if moves is None else moves
        # From -infinity every move is accepted, so that a first one onto the walkers themselves evaluates them.
        chains = chains._replace(log_abs=jnp.where(evaluated, chains.log_abs, -jnp.inf))
        nothing = MoveStatistics(*jnp.zeros(2, chains.log_abs.dtype))

        def move(number: Array, carry: tuple[Chains, MoveStatistics]) -> tuple[Chains, MoveStatistics]:
            chains, sums = carry
            in_place, counts = number < 0, number >= burn_in
            for index, field in enumerate(self.samplers):
                field_key = jax.random.fold_in(key, number * len(self.samplers) + index)
                adapts = ~in_place & (~counts | adapt)
                chains, made = self._move_field(params, chains, field, field_key, in_place, adapts)
                sums = jax.tree.map(lambda total, each: total + jnp.where(counts, each, 0), sums, made)
            return chains, sums

        first = jnp.where(evaluated, 0, -1).astype(jnp.int32)
        last = jnp.asarray(burn_in + moves, jnp.int32)
        chains, sums = jax.lax.fori_loop(first, last, move, (chains, nothing))
        return chains, sums._replace(acceptance=sums.acceptance / max(moves * len(self.samplers), 1))

    def _move_field(
        self, params: Any, chains: Chains, field: str, key: Array, in_place: Array, adapts: Array
    ) -> tuple[Chains, MoveStatistics]:
        """One move of a field; ``in_place``: onto the walkers themselves, whose log|psi| is found thereby."""
        sampler = self.samplers[field]
        state = chains.samplers[field]
        x = chains.walkers[field]
        propose_key, accept_key = jax.random.split(key)
        proposed, hastings = sampler.propose(propose_key, x, state.width)
        proposed, hastings = jnp.where(in_place, x, proposed), jnp.where(in_place, 0, hastings)
        if sampler.moves == "all-electron":
            chains, made = self._metropolis(params, chains, field, proposed, jnp.sum(hastings, axis=-1), accept_key)
        else:

            def move_one(particle: Array, carry: tuple[Chains, MoveStatistics]) -> tuple[Chains, MoveStatistics]:
                chains, sums = carry
                candidate = chains.walkers[field].at[:, particle].set(proposed[:, particle])
                one_key = jax.random.fold_in(accept_key, particle)
                chains, made = self._metropolis(params, chains, field, candidate, hastings[:, particle], one_key)
                return chains, jax.tree.map(jnp.add, sums, made)

            particles = x.shape[1]
            count = jnp.where(in_place, 1, particles).astype(jnp.int32)
            nothing = MoveStatistics(*jnp.zeros(2, chains.log_abs.dtype))
            chains, sums = jax.lax.fori_loop(jnp.int32(0), count, move_one, (chains, nothing))
            made = sums._replace(acceptance=sums.acceptance / particles)
        adapted = sampler.adapt(state, made.acceptance)
        state = jax.tree.map(lambda new, old: jnp.where(adapts, new, old), adapted, state)
        return chains._replace(samplers={**chains.samplers, field: state}), made

    def _metropolis(
        self, params: Any, chains: Chains, field: str, proposed: Array, hastings: Array, key: Array
    ) -> tuple[Chains, MoveStatistics]:
        candidate = {**chains.walkers, field: proposed}
        log_abs = self.log_abs(params, candidate).astype(chains.log_abs.dtype)
        log_uniform = jnp.log(jax.random.uniform(key, log_abs.shape, log_abs.dtype))
        finite = jnp.isfinite(log_abs) | (log_abs == -jnp.inf)  # minus infinity is a node
        accept = finite & (log_uniform < 2 * (log_abs - chains.log_abs) + hastings)
        shape = (-1,) + (1,) * (proposed.ndim - 1)
        walkers = {**chains.walkers, field: jnp.where(accept.reshape(shape), proposed, chains.walkers[field])}
        made = MoveStatistics(jnp.mean(accept.astype(log_abs.dtype)), jnp.sum((~finite).astype(log_abs.dtype)))
        return Chains(walkers, jnp.where(accept, log_abs, chains.log_abs), chains.samplers), made
