"""Metropolis sampling of |psi|^2 by many walkers at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from adiabat.config import setting, wired

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

    def start(self, params: Any, walkers: Walkers, samplers: Mapping[str, SamplerState]) -> Chains:
        """Chains at these walkers; the only place where log|psi| is evaluated without a move."""
        return Chains(dict(walkers), self.log_abs(params, walkers), dict(samplers))

    def sample(
        self, params: Any, chains: Chains, key: Key[Array, ""], moves: int, *, adapt: bool
    ) -> tuple[Chains, MoveStatistics]:
        """Make ``moves`` moves of every field, carrying log|psi| along."""

        def move(chains: Chains, key: Array) -> tuple[Chains, MoveStatistics]:
            statistics = []
            for number, field in enumerate(self.samplers):
                chains, made = self._move_field(params, chains, field, jax.random.fold_in(key, number), adapt)
                statistics.append(made)
            return chains, jax.tree.map(lambda *values: jnp.mean(jnp.stack(values)), *statistics)

        chains, made = jax.lax.scan(move, chains, jax.random.split(key, moves))
        return chains, MoveStatistics(jnp.mean(made.acceptance), jnp.sum(made.nonfinite))

    def _move_field(
        self, params: Any, chains: Chains, field: str, key: Array, adapt: bool
    ) -> tuple[Chains, MoveStatistics]:
        sampler = self.samplers[field]
        state = chains.samplers[field]
        propose_key, accept_key = jax.random.split(key)
        proposed, hastings = sampler.propose(propose_key, chains.walkers[field], state.width)
        if sampler.moves == "all-electron":
            chains, made = self._metropolis(params, chains, field, proposed, jnp.sum(hastings, axis=-1), accept_key)
        else:

            def move_one(chains: Chains, particle: Array) -> tuple[Chains, MoveStatistics]:
                x = chains.walkers[field]
                candidate = x.at[:, particle].set(proposed[:, particle])
                one_key = jax.random.fold_in(accept_key, particle)
                return self._metropolis(params, chains, field, candidate, hastings[:, particle], one_key)

            chains, each = jax.lax.scan(move_one, chains, jnp.arange(proposed.shape[1], dtype=jnp.int32))
            made = MoveStatistics(jnp.mean(each.acceptance), jnp.sum(each.nonfinite))
        if adapt:
            state = sampler.adapt(state, made.acceptance)
        return chains._replace(samplers={**chains.samplers, field: state}), made

    def _metropolis(
        self, params: Any, chains: Chains, field: str, proposed: Array, hastings: Array, key: Array
    ) -> tuple[Chains, MoveStatistics]:
        candidate = {**chains.walkers, field: proposed}
        log_abs = self.log_abs(params, candidate)
        log_uniform = jnp.log(jax.random.uniform(key, log_abs.shape, log_abs.dtype))
        finite = jnp.isfinite(log_abs) | (log_abs == -jnp.inf)  # minus infinity is a node
        accept = finite & (log_uniform < 2 * (log_abs - chains.log_abs) + hastings)
        shape = (-1,) + (1,) * (proposed.ndim - 1)
        walkers = {**chains.walkers, field: jnp.where(accept.reshape(shape), proposed, chains.walkers[field])}
        made = MoveStatistics(jnp.mean(accept.astype(log_abs.dtype)), jnp.sum((~finite).astype(log_abs.dtype)))
        return Chains(walkers, jnp.where(accept, log_abs, chains.log_abs), chains.samplers), made
