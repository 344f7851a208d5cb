"""Wavefunctions small enough to know everything about, the exact ones among them, and a stage made of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiabat.config import ConfigManager
from adiabat.engine import AbstractCallback
from adiabat.vmc import EvaluationWorkStage, KineticEnergy, MCMCSampler, Potential, SamplingState, Total, VMCWorkStage

quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiles in half the time what runs once or twice."""


def lengths(x):
    return jnp.sqrt(jnp.sum(x * x, axis=-1))


def coulomb(x):
    """One electron and a proton."""
    return -jnp.sum(1 / lengths(x))


@dataclass(frozen=True)
class Exponential:
    """``exp(-a r)`` with one parameter a, exact for hydrogen at a = 1.

    Its local energy is ``-a**2 / 2 + (a - 1) / r``: mean ``a**2 / 2 - a``, variance ``a**2 (a - 1)**2``.
    """

    start: float = 1.0

    def init(self, key):
        return {"a": np.asarray(self.start, np.float32)}

    def log_psi(self, params, x):
        return -params["a"] * jnp.sum(lengths(x)), jnp.zeros((), x.dtype)


@dataclass(frozen=True)
class Perceptron:
    """A network of dense layers, one of them with two inputs, and a plain parameter; its logarithm is complex if asked
    for."""

    is_complex: bool = False
    width: int = 5
    dtype: str = "float64"

    def init(self, key):
        rng = np.random.default_rng(0)
        shapes = {"first": (3, self.width), "second": (self.width, self.width), "last": (self.width, 2), "decay": (2,)}
        shapes["beside"] = (3, self.width)
        return {name: rng.standard_normal(shape).astype(self.dtype) for name, shape in shapes.items()}

    def log_psi(self, params, walker):
        x = walker["electrons"] if isinstance(walker, dict) else walker
        h = jnp.tanh(x @ params["first"])
        h = h + jnp.tanh(h @ params["second"] + x @ params["beside"])
        value = jnp.sum(h @ params["last"], axis=0) - params["decay"] * jnp.sum(x * x)
        return jax.lax.complex(value[0], value[1]) if self.is_complex else value[0]


@dataclass(frozen=True)
class ComplexPerceptron:
    """The same with complex parameters, not holomorphic in them."""

    width: int = 4
    dtype: str = "float64"

    def init(self, key):
        rng = np.random.default_rng(0)
        shapes = {"first": (3, self.width), "last": (self.width, 1)}
        dtype = np.result_type(self.dtype, np.complex64)
        drawn = {n: rng.standard_normal((2, *s)) for n, s in shapes.items()}
        params = {name: (re + 1j * im).astype(dtype) for name, (re, im) in drawn.items()}
        return params | {"decay": np.ones(1, self.dtype)}

    def log_psi(self, params, walker):
        x = walker["electrons"] if isinstance(walker, dict) else walker
        h = x @ params["first"]
        h = jnp.tanh(h.real) + 1j * jnp.sin(h.imag) + 0.1 * jnp.conj(h)
        return jnp.sum(h @ params["last"]) - params["decay"][0] * jnp.sum(x * x)


def walkers(count: int, particles: int = 2, *, seed: int = 0, dtype: str = "float64") -> dict[str, np.ndarray]:
    """Electrons at random places."""
    return {"electrons": np.random.default_rng(seed).standard_normal((count, particles, 3)).astype(dtype)}


def jacobian(log_psi: Callable[..., Any], params: Any, data: Any) -> np.ndarray:
    """Scores one by one, (walkers, parameters), complex where log psi is."""

    def flat(walker: Any) -> jax.Array:
        def part(take):
            grads = jax.grad(lambda p: take(log_psi(p, walker)))(params)
            return jnp.concatenate([g.ravel() for g in jax.tree.leaves(grads)])

        is_complex = jnp.iscomplexobj(jax.eval_shape(log_psi, params, walker))
        return part(jnp.real) + 1j * part(jnp.imag) if is_complex else part(jnp.real)

    return np.asarray(quick_jit(jax.vmap(flat))(data))


def ravel(tree: Any) -> np.ndarray:
    """All numbers of a pytree in one row."""
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def hydrogen(wavefunction: Any, potential: Callable[..., Any] = coulomb) -> dict[str, Any]:
    """Estimators of a hydrogen atom."""
    return {"kinetic": KineticEnergy(wavefunction.log_psi), "potential": Potential(potential), "total": Total()}


def train_stage(
    wavefunction: Any,
    optimizer: Any,
    sampler: MCMCSampler,
    *,
    estimators: Any = None,
    clip: float | None = None,
    mesh: Any = None,
    chunk: int | None = None,
    **settings: Any,
) -> VMCWorkStage:
    """Training, built as a run builds it."""
    cfg = ConfigManager({"loss_grads": {"clip": clip}, **settings})
    builder = VMCWorkStage.builder(cfg, wavefunction, name="train", mesh=mesh, chunk=chunk)
    builder.configure_sample_plan(wavefunction.log_psi, {"electrons": sampler})
    builder.configure_optimizer(default=optimizer)
    return builder.configure_estimators(**(estimators or hydrogen(wavefunction))).build()


def evaluation_stage(
    wavefunction: Any,
    sampler: MCMCSampler,
    *,
    estimators: Any = None,
    mesh: Any = None,
    chunk: int | None = None,
    **settings: Any,
) -> EvaluationWorkStage:
    """Evaluation, built as a run builds it."""
    builder = EvaluationWorkStage.builder(
        ConfigManager(settings), wavefunction, name="evaluate", mesh=mesh, chunk=chunk
    )
    builder.configure_sample_plan(wavefunction.log_psi, {"electrons": sampler})
    return builder.configure_estimators(**(estimators or hydrogen(wavefunction))).build()


def systems(wavefunction: Any, sampler: MCMCSampler, particles: int = 1, dtype: str = "float32") -> SamplingState:
    """One system at random places, with its leading axis."""
    data = walkers(sampler.walkers, particles, dtype=dtype)
    state = SamplingState(wavefunction.init(0), data, {"electrons": sampler.init()})
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], state)


class Rows(AbstractCallback):
    """Keeps the metrics of every step."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def on_rows(self, rows: list[dict[str, Any]], driver: Any) -> None:
        self.rows += rows

    def __getitem__(self, name: str) -> np.ndarray:
        """One metric of all steps that have it."""
        return np.array([row[name] for row in self.rows if name in row])
