"""What an energy run found: its summary, its digest, and the finished run read back from its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from adiabat.config import ConfigManager, from_yaml
from adiabat.electrons.energy_plan import EnergyPlan, plan_energy, recorded_molecule
from adiabat.electrons.molecule import Molecule
from adiabat.electrons.reference_energies import reference_energy
from adiabat.electrons.wavefunctions.determinant_network import DeterminantNetwork
from adiabat.engine import Checkpoints, Driver, surroundings
from adiabat.errors import InputError
from adiabat.io import RunFolder, atomic_file
from adiabat.vmc.stages import estimates
from adiabat.vmc.statistics import Estimate

ENERGY = "total"


@dataclass(frozen=True)
class EnergyResult:
    """The energy of a run, hartree, and where the rest is.

    Attributes
    ----------
    energy, error : float
        Mean and its standard error.
    estimate : Estimate
        All of the energy's statistics.
    summary : dict
        Contents of ``summary.json``.
    state : adiabat.vmc.stages.SamplingState
        Parameters and walkers, with a leading system axis of one.
    folder : pathlib.Path
    """

    energy: float
    error: float
    estimate: Estimate
    summary: dict[str, Any]
    state: Any
    folder: Path


@dataclass(frozen=True)
class EnergyRun:
    """A run read back from its folder.

    Attributes
    ----------
    system : Molecule
    network : DeterminantNetwork
    parameters : pytree
        Of the network.
    walkers : (walkers, electrons, 3) array
        Bohr.
    results : dict
        Contents of ``summary.json``.
    folder : pathlib.Path
    """

    system: Molecule
    network: DeterminantNetwork
    parameters: Any
    walkers: np.ndarray
    results: dict[str, Any]
    folder: Path

    @property
    def log_psi(self) -> Callable[[Array], tuple[Array, Array]]:
        """``x -> (log|psi|, phase)`` of one walker (electrons, 3), bohr; of many with `jax.vmap`."""
        return partial(self.network.log_psi, self.parameters)


def load(folder: str | Path) -> EnergyRun:
    """Read a run back: system, network, parameters, walkers and results.

    Raises
    ------
    InputError
        There is no run in the folder, or it has no checkpoint yet.
    """
    place = RunFolder(folder)
    if not place.config.is_file():
        raise InputError(f"{place.path} is no run folder: it has no config.yaml")
    results = place.read_summary()
    plan = plan_energy(ConfigManager([from_yaml(place.config)]), recorded_molecule(results))
    hf = plan.hartree_fock() if plan.needs_pretraining else None
    driver = Driver(
        plan.stages(hf),
        seed=plan.seed,
        systems=plan.systems(None),
        checkpoints=Checkpoints(place.checkpoints),
    )
    if driver.restore() is None:
        raise InputError(f"{place.path} has no checkpoint yet; let the run go on for a while")
    systems = jax.tree.map(lambda leaf: np.asarray(leaf)[0], driver.state.systems)
    return EnergyRun(
        plan.molecule,
        plan.wavefunction,
        jax.tree.map(jax.numpy.asarray, systems.params),
        systems.batched_data["electrons"],
        results,
        place.path,
    )


def summarise(
    plan: EnergyPlan, driver: Driver, status: str, reason: str, hartree_fock_energy: float | None
) -> dict[str, Any]:
    """Contents of ``summary.json``; the energy is there as soon as evaluation has begun."""
    timings = driver.timings.as_dict()
    reference = reference_energy(plan.molecule)
    summary: dict[str, Any] = {
        "kind": "energy",
        "name": plan.molecule.name,
        "molecule": plan.molecule.source,
        "status": status,
        "reason": reason,
        "seed": plan.seed,
        "versions": surroundings(),
        "unit": "hartree",
        "wavefunction": plan.wavefunction.description,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(driver.state.systems.params)),
        "walkers": plan.sampler.walkers,
        "steps": timings["steps"],
        "seconds": timings["seconds"],
        "compiling": timings["compiling"],
        "hartree_fock_energy": hartree_fock_energy,
        "exact_energy": None if reference is None else reference.exact,
        "exact_is_estimate": reference is not None and not reference.is_floor,
        "hartree_fock_limit": None if reference is None else reference.hartree_fock,
        "exact_source": None if reference is None else reference.source,
    }
    if (fallbacks := driver.last_metrics("train").get("solver_fallbacks")) is not None:
        summary["solver_fallbacks"] = int(np.asarray(fallbacks)[0])
    found = evaluation(driver)
    if found:
        energy = found[ENERGY]
        acceptance = driver.last_metrics("evaluate").get("acceptance")
        summary |= {
            "energy": energy.mean,
            "energy_error": energy.error,
            "energy_variance": energy.variance,
            "autocorrelation_time": energy.autocorrelation_time,
            "effective_samples": energy.effective_samples,
            "split_rhat": energy.split_rhat,
            "equilibration_steps": energy.equilibration_steps,
            "nonfinite": energy.nonfinite,
            "note": energy.note or _missed(plan, energy),
            "acceptance": None if acceptance is None else float(np.asarray(acceptance)[0]),
        }
    return summary


def _missed(plan: EnergyPlan, energy: Estimate) -> str:
    """Says where an evaluation ended before its error bar was as small as asked for."""
    config = plan.evaluate.config
    if config.error is None or energy.error <= config.error or energy.n_steps < config.iterations:
        return ""
    return f"evaluate.iterations ended it before the error reached {config.error:g}"


def evaluation(driver: Driver) -> dict[str, Estimate]:
    """Estimates of the evaluation so far; empty before it has begun."""
    own = driver.own("evaluate")
    return {} if own is None else estimates(own)


def write_digest(path: Path, found: Mapping[str, Estimate]) -> None:
    """Write mean, error, variance, autocorrelation time and number of effective samples of every estimator."""
    arrays: dict[str, Any] = {}
    for name, estimate in found.items():
        for field in ("mean", "error", "variance", "autocorrelation_time", "effective_samples"):
            arrays[f"{name}_{field}"] = np.float64(getattr(estimate, field))
        arrays[f"{name}_steps"] = np.int64(estimate.n_steps)
    with atomic_file(path) as file:
        np.savez(file, **arrays)
