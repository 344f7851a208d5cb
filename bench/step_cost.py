"""A training step and its parts, in units of a plain forward pass over the same walkers.

The unit makes figures from different machines comparable: it is log psi of all walkers, compiled, in the chunks that
suit it best, timed in this process and in turn with everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from adiabat.vmc.optimizers import KFACOptimizer, SROptimizer
from adiabat.vmc.sampling import Chains
from adiabat.vmc.scores.gram import gram_matrix
from adiabat.vmc.scores.products import RowProducts
from adiabat.vmc.scores.table import Scores, scores
from adiabat.vmc.stages import SamplingState, VMCWorkStage
from adiabat.vmc.walkers import over_walkers
from bench.peak_memory import peak_memory
from bench.rows import Row
from bench.stopwatch import Call, alternately, mean_seconds
from bench.workload import Workload

STEPS = KFACOptimizer().inverse_update_period
"""Steps that are timed together, as they are in a run: K-FAC inverts its factors in one of so many."""
CHUNKS = (None, 128, 64, 32, 16, 8)
"""Walkers at a time of a forward pass; the fastest counts."""
LIMITS = {
    "ferminet": {"forward Laplacian": 10.0, "SPRING step": 40.0, "K-FAC step": 30.0, "Adam step": 30.0},
    "psiformer": {"SPRING step": 60.0, "K-FAC step": 45.0},
}
"""In forward passes of the network, on LiH with 256 walkers."""
MEMORY_LIMIT = 1.0
"""Of SPRING and of K-FAC in GB, for the same."""


def measure(
    workload: Workload | None = None, *, rounds: int = 7, memory: bool = True, at_least: float = 0.1
) -> list[Row]:
    """The cost of a step of SPRING, of K-FAC and of Adam, part by part, and the memory each takes.

    Parameters
    ----------
    workload : Workload, optional
        What is trained; limits apply to the default only.
    rounds : int
        How often everything is timed.
    memory : bool
        Whether to measure memory, which trains in processes of their own.
    at_least : float
        Seconds over which each measurement is averaged.
    """
    workload = workload or Workload()
    limits = LIMITS.get(workload.network, {}) if workload == Workload(network=workload.network) else {}
    group = f"step cost: {workload.network}, {workload.molecule}, {workload.walkers} walkers"
    with jax.enable_x64(True):
        chunk, forward, parts, steps = _calls(workload)
        unit, costs = alternately(forward, parts | steps, rounds, at_least)
    costs |= {name: costs[name].scaled(1 / STEPS) for name in steps}
    milliseconds = unit.scaled(1e3)
    chunks = "all walkers at once" if chunk is None else f"{chunk} walkers at a time"
    rows = [Row(group, "forward pass", milliseconds.median, "ms", remark=f"{milliseconds.range}, {chunks}")]
    rows += [Row(group, name, cost.median, "passes", limits.get(name), cost.range) for name, cost in costs.items()]
    if memory:
        for name, optimizer in (("SPRING", "sr"), ("K-FAC", "kfac"), ("Adam", "adam")):
            compiling, cached = peak_memory(optimizer, workload.as_json())
            limit = MEMORY_LIMIT if workload == Workload() and optimizer != "adam" else None
            rows.append(Row(group, f"{name} peak memory", compiling / 1e9, "GB", limit, "programs compiled"))
            rows.append(Row(group, f"{name} peak memory", cached / 1e9, "GB", limit, "programs compiled before"))
    return rows


def _calls(workload: Workload) -> tuple[int | None, Call, dict[str, Call], dict[str, Call]]:
    """The chunk of the best forward pass, that pass, the parts of a step and `STEPS` whole ones, all compiled."""
    drivers = {"SPRING step": workload.driver("sr"), "K-FAC step": workload.driver("kfac")}
    drivers["Adam step"] = workload.driver("adam")
    for driver in drivers.values():
        driver.run(STEPS)
    # Walkers after burn-in and a step: parts are timed on what a step sees.
    system = jax.tree.map(lambda leaf: leaf[0], drivers["SPRING step"].state.systems)
    stage = workload.plan("sr").train
    chunk, forward = _forward_pass(stage, system)
    return chunk, forward, _parts(stage, system), {name: partial(driver.run, STEPS) for name, driver in drivers.items()}


def _forward_pass(stage: VMCWorkStage, system: SamplingState) -> tuple[int | None, Call]:
    """log psi of all walkers in the chunks that are fastest here."""
    walkers = len(next(iter(system.batched_data.values())))
    passes = {
        chunk: _compiled(over_walkers(stage.log_psi, chunk=chunk), system.params, system.batched_data)
        for chunk in CHUNKS
        if chunk is None or chunk < walkers
    }
    seconds = {chunk: mean_seconds(call) for chunk, call in passes.items()}
    best = min(seconds, key=lambda chunk: seconds[chunk])
    return best, passes[best]


def _parts(stage: VMCWorkStage, system: SamplingState) -> dict[str, Call]:
    """The parts of a step, each a program of its own."""
    params, walkers, plan = system.params, system.batched_data, stage.sample_plan
    optimizer, kinetic = stage.optimizer, stage.estimators["kinetic"]
    assert isinstance(optimizer, SROptimizer)
    assert optimizer.f_log_psi is not None
    log_psi = optimizer.f_log_psi

    def moves(params: Any, chains: Chains, key: Array) -> Any:
        return plan.sample(params, chains, key)

    def laplacian(params: Any, walker: Any) -> Array:
        return kinetic.evaluate(params, walker, {})

    def score_table(params: Any, walkers: Any) -> Scores:
        return scores(log_psi, params, walkers, chunk=optimizer.score_chunk_size)

    def gram_of(table: Scores) -> Array:
        return gram_matrix(table, RowProducts())

    def solve(gram: Array, residuals: Array) -> Array:
        damped = gram + 1e-3 * jnp.eye(len(gram), dtype=gram.dtype)
        return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(damped, lower=True), residuals)

    def update(params: Any, state: Any, walkers: Any, residuals: Array) -> Any:
        return optimizer.update(None, state, params, batched_data=walkers, residuals=residuals)

    chains = Chains(dict(walkers), jax.jit(plan.log_abs)(params, walkers), dict(system.sampler_state))
    residuals = jax.jit(stage.loss_grads.residuals)(jax.jit(stage.evaluate)(params, walkers)["total"])
    table = jax.jit(score_table)(params, walkers)
    gram = jax.jit(gram_of)(table)
    return {
        f"{plan.steps} moves": _compiled(moves, params, chains, jax.random.key(0)),
        "forward Laplacian": _compiled(over_walkers(laplacian, chunk=stage.chunk), params, walkers),
        "local energies": _compiled(stage.evaluate, params, walkers),
        "scores": _compiled(score_table, params, walkers),
        "Gram matrix": _compiled(gram_of, table),
        "solve": _compiled(solve, gram, residuals),
        "SPRING update": _compiled(update, params, optimizer.init(params), walkers, residuals),
        "energy gradient": _compiled(stage.loss_grads.gradient, params, walkers, residuals),
    }


def _compiled(function: Callable[..., Any], *arguments: Any) -> Call:
    """A call of the compiled function that returns when the result is there."""
    program = jax.jit(function)
    return lambda: jax.block_until_ready(program(*arguments))
