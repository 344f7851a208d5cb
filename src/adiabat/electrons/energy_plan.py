"""From the configuration of an energy run to everything it consists of, all of it checked before any compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from adiabat.config import ConfigManager, setting
from adiabat.electrons.hamiltonian import CoulombPotential, NuclearScale
from adiabat.electrons.hartree_fock import HartreeFock, hartree_fock
from adiabat.electrons.molecule import Molecule
from adiabat.electrons.molecule_input import molecule_from
from adiabat.electrons.multi_determinant import leading_determinants
from adiabat.electrons.pretrain import Pretrain, PretrainConfig
from adiabat.electrons.starting_positions import starting_positions
from adiabat.electrons.wavefunctions.determinant_network import DeterminantNetwork
from adiabat.electrons.wavefunctions.slater_orbitals import fit_start
from adiabat.engine import FusedStage
from adiabat.errors import InputError
from adiabat.vmc.local_energy import KineticEnergy, Potential, Total
from adiabat.vmc.optimizers import SROptimizer, Standard
from adiabat.vmc.sampling import MCMCSampler
from adiabat.vmc.stages import (
    EvaluationWorkStage,
    EvaluationWorkStageConfig,
    SamplingState,
    VMCWorkStage,
    VMCWorkStageConfig,
)
from adiabat.vmc.walkers import walker_mesh

CACHE_BYTES = 2**20
"""Working set of a chunk of walkers that fits the caches of a processor core."""
ACCELERATOR_BYTES = 2 * 2**30
"""Working set of a chunk of walkers on an accelerator, whose cores are kept busy by large ones."""


Writer = Literal["csv", "jsonl", "hdf5"]
WRITERS: tuple[Writer, ...] = ("csv", "jsonl", "hdf5")


@dataclass(frozen=True)
class MoleculeConfig:
    """What is computed."""

    molecule: str | None = setting(None, help="name, structure file, or coordinates such as 'H 0 0 0; H 0 0 1.4'")
    charge: int = setting(0, help="charge of the molecule, in units of the proton's")
    spin: int | None = setting(None, min=0, help="2S, the number of unpaired electrons; null: the known ground state")
    unit: str | None = setting(None, help="unit of coordinates: bohr or angstrom; null: angstrom")


@dataclass(frozen=True)
class EnergyPlan:
    """All parts of an energy run.

    `wavefunction` knows its molecule; the Hartree-Fock orbitals it starts from are fitted by `systems`.
    """

    molecule: Molecule
    wavefunction: DeterminantNetwork
    sampler: MCMCSampler
    pretrain: PretrainConfig
    train: VMCWorkStage
    evaluate: EvaluationWorkStage
    writers: tuple[str, ...]
    seed: int
    mesh: Mesh | None

    @property
    def identity(self) -> dict[str, Any]:
        """What a run folder belongs to."""
        molecule = self.molecule
        atoms = "; ".join(
            f"{symbol} {x!r} {y!r} {z!r}"
            for symbol, (x, y, z) in zip(molecule.symbols, molecule.positions.tolist(), strict=True)
        )
        return {
            "kind": "energy",
            "system": atoms,
            "charge": molecule.charge,
            "spin": molecule.spin,
            "seed": self.seed,
        }

    @property
    def needs_pretraining(self) -> bool:
        """Whether the run begins with pretraining."""
        return self.pretrain.steps(self.wavefunction) > 0

    def hartree_fock(self) -> HartreeFock:
        """Hartree-Fock of the molecule."""
        return hartree_fock(self.molecule, self.pretrain.basis)

    def stages(self, hf: HartreeFock | None) -> FusedStage:
        """Pretraining, where there is any and Hartree-Fock is known, then training and evaluation."""
        fused = self.train + self.evaluate
        if hf is None or not self.needs_pretraining:
            return fused
        pretrain = Pretrain(
            name="pretrain",
            n_steps=self.pretrain.steps(self.wavefunction),
            wavefunction=self.wavefunction,
            target=hf.occupied,
            sampler=self.sampler,
            config=self.pretrain,
            mesh=self.mesh,
        )
        return pretrain + fused

    def systems(self, hf: HartreeFock | None, say: Callable[[str], None] = lambda text: None) -> SamplingState:
        """Parameters and walkers at the start, with a leading system axis of one; shapes only without Hartree-Fock.

        ``say`` hears of what did not go the usual way.
        """
        network = self.wavefunction
        if hf is not None and network.starts_from_hartree_fock:
            expansion = leading_determinants(hf, network.n_determinants)
            for note in expansion.notes:
                say(note)
            network = replace(network, hartree_fock_start=fit_start(self.molecule, hf.basis_name, expansion))
        positions = starting_positions(self.molecule, self.seed, self.sampler.walkers)
        state = SamplingState(
            network.init(self.seed),
            {"electrons": positions.astype(network.dtype)},
            {"electrons": jax.tree.map(np.asarray, self.sampler.init())},
        )
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], state)


def recorded_molecule(summary: Mapping[str, Any]) -> Molecule:
    """The molecule of a run, from the identity in its summary: needs no structure file any more."""
    identity = summary.get("identity", {})
    if identity.get("kind") != "energy":
        raise InputError("summary.json says nothing of an energy run; expected the folder of one")
    molecule = molecule_from(identity["system"], charge=identity["charge"], spin=identity["spin"], unit="bohr")
    return replace(molecule, name=summary.get("name", molecule.name), source=summary.get("molecule", molecule.source))


def plan_energy(cfg: ConfigManager, system: str | Path | Molecule | None) -> EnergyPlan:
    """Read the configuration and build all stages; nothing is computed and nothing written.

    ``system`` is a molecule, or what `molecule_from` takes; None: what the configuration says.

    Raises
    ------
    InputError
        Anything that is wrong with the input, one clear sentence.
    """
    seed = cfg.get("seed", int, 0, min=0, max=2**64 - 1, help="seed of all random numbers")
    molecule = _molecule(cfg, system)
    wavefunction = cfg.get_module("wavefunction", "ferminet", family="wavefunctions", molecule=molecule)
    if not isinstance(wavefunction, DeterminantNetwork):
        raise InputError(
            f"wavefunction is {type(wavefunction).__name__}; expected a DeterminantNetwork such as ferminet"
        )
    sampler = cfg.get_module("sampler", "mcmc", family="samplers", local_scale=NuclearScale(molecule))
    mesh = walker_mesh(sampler.walkers)
    pretrain = cfg.get("pretrain", PretrainConfig)
    chunk = automatic_chunk(wavefunction, jax.default_backend())
    common: dict[str, Any] = {"mesh": mesh, "chunk": chunk}
    small = wavefunction.size == "small"
    training = VMCWorkStage.builder(
        cfg.scoped("train"), wavefunction, defaults=_training_defaults(molecule, small), **common
    )
    training.configure_sample_plan(wavefunction.log_psi, {"electrons": sampler})
    training.configure_optimizer(default=small_optimizer(molecule) if small else "sr", f_log_psi=wavefunction.log_psi)
    training.configure_estimators(**_estimators(wavefunction, molecule))
    training.configure_loss_grads(f_log_psi=wavefunction.log_psi)
    evaluation = EvaluationWorkStage.builder(
        cfg.scoped("evaluate"), wavefunction, defaults=EVALUATION_DEFAULTS, **common
    )
    evaluation.configure_sample_plan(wavefunction.log_psi, {"electrons": sampler})
    evaluation.configure_estimators(**_estimators(wavefunction, molecule))
    writers = cfg.get("writers", tuple[Writer, ...], WRITERS, help="files that the metrics of each step go to")
    stages = training.build(), evaluation.build()
    return EnergyPlan(molecule, wavefunction, sampler, pretrain, *stages, writers, seed, mesh)


def _molecule(cfg: ConfigManager, system: str | Path | Molecule | None) -> Molecule:
    given = None if system is None or isinstance(system, Molecule) else str(system)
    section = cfg.get("system", MoleculeConfig(molecule=given))
    if isinstance(system, Molecule):
        return system
    if section.molecule is None:
        raise InputError("no molecule given: expected a name such as 'LiH', a structure file, or coordinates")
    return molecule_from(section.molecule, charge=section.charge, spin=section.spin, unit=section.unit)


EVALUATION_DEFAULTS = EvaluationWorkStageConfig(
    iterations=1_000_000, burn_in=10, error=4e-4, save_time_interval=30.0, save_step_interval=1
)


def small_optimizer(molecule: Molecule) -> SROptimizer:
    """Of small networks. The more electrons, the more local energies vary, and the more of them is noise to the fit."""
    return SROptimizer(
        learning_rate=Standard(rate=0.05, delay=200.0),
        max_norm=0.3,
        max_length=0.05,
        damping=float(np.clip(1e-2 * (molecule.n_electrons / 14) ** 2, 1e-3, 1e-2)),
        spring_mu=0.95,
    )


def _training_defaults(molecule: Molecule, small: bool) -> VMCWorkStageConfig:
    """Small networks converge in hundreds of steps, the published ones in many thousands."""
    iterations = int(np.clip(32 * molecule.n_electrons**2, 100, 2000)) if small else 20_000
    return VMCWorkStageConfig(iterations=iterations, burn_in=10, save_time_interval=30.0, save_step_interval=1)


def _estimators(wavefunction: DeterminantNetwork, molecule: Molecule) -> dict[str, Any]:
    return {
        "kinetic": KineticEnergy(wavefunction.log_psi),
        "potential": Potential(CoulombPotential(molecule)),
        "total": Total(("kinetic", "potential")),
    }


def automatic_chunk(wavefunction: DeterminantNetwork, backend: str) -> int:
    """Walkers whose local energy is evaluated at a time: as many as keep the forward Laplacian in the caches.

    It carries the value, the Laplacian and 3 n derivatives of n electrons' features.
    """
    electrons = wavefunction.spins.electrons
    bytes_each = 4 * (3 * electrons + 2) * electrons * wavefunction.trunk_width
    available = CACHE_BYTES if backend == "cpu" else ACCELERATOR_BYTES
    return int(2 ** np.clip(np.round(np.log2(available / bytes_each)), 0, 16))
