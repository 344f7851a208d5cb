"""From the configuration of a run of structures to everything it consists of, checked before any compute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.batching import batch_from
from adiabat.atoms.buckets import BucketPlan, plan_buckets
from adiabat.atoms.dynamics import BaseDynamics
from adiabat.atoms.fused_stage import FusedStage
from adiabat.atoms.integrators import FIRE, MolecularDynamics
from adiabat.atoms.per_system import check_lengths
from adiabat.atoms.potentials.potential import Potential
from adiabat.atoms.runs.structure_set import StructureSet, structures_from
from adiabat.config import ConfigManager, StructuresJobName, setting
from adiabat.errors import InputError

__all__ = ["StructurePlan", "plan_structures"]

RELAX_STEPS = 5000
"""Steps of a relaxation, by default: few structures take more, and those that never end must not hold up the run."""
RELAX_FMAX = 0.01
"""In eV/angstrom, by default."""
MD_FRAMES = 100
"""Steps between two frames of a dynamics, by default."""


@dataclass(frozen=True)
class StructuresConfig:
    """What is simulated."""

    files: tuple[str, ...] = setting((), help="structure files, in any format that ASE reads")
    strict: bool = setting(False, help="stop before anything is computed if one structure cannot be used")
    fixed_center: bool | None = setting(
        None, help="whether centers of mass stay where they are; null: as the structures say"
    )


@dataclass(frozen=True)
class BatchConfig:
    """How many structures are under way at once."""

    max_batch_size: int = setting(64, min=1, help="most structures in one batch")
    max_atoms: int | None = setting(None, min=1, help="most atoms that a batch has room for; null: any number")
    max_buckets: int = setting(4, min=1, help="most sizes of slots; each is compiled by itself")


@dataclass(frozen=True)
class RecordConfig:
    """What is written while the run goes on."""

    log_interval: int | None = setting(
        10, min=1, help="steps of a structure between two rows of metrics/, the last one counts too; null: no log"
    )
    trajectory_interval: int | None = setting(
        None, min=1, help="steps of a structure between two frames of trajectories/; null: no trajectory"
    )
    trajectory_format: Literal["extxyz", "hdf5"] = setting("extxyz", help="of the trajectories")
    save_time_interval: float = setting(30.0, min=0, unit="s", help="time between two checkpoints, at least")
    save_step_interval: int = setting(1, min=1, help="steps between two checkpoints, at least")


@dataclass(frozen=True)
class StructurePlan:
    """All parts of a run of structures."""

    job: StructuresJobName
    structures: StructureSet
    potential: Potential
    stages: FusedStage
    buckets: BucketPlan
    record: RecordConfig
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """What a run folder belongs to."""
        n, digest = len(self.structures), self.structures.digest
        return {"kind": self.job, "structures": f"{n} structures {digest}", "seed": self.seed}


def plan_structures(cfg: ConfigManager, job: StructuresJobName, given: Any = None) -> StructurePlan:
    """Read the configuration, the structures and all there is to do; nothing is computed and nothing written.

    Args:
        cfg: all settings.
        job: what is done by default: relax, or md.
        given: structures as `structures_from` takes them; None: the files of the configuration.

    Raises:
        InputError: anything that is wrong with the input, one clear sentence.
    """
    seed = cfg.get("seed", int, 0, min=0, max=2**64 - 1, help="seed of all random numbers")
    section = cfg.get("structures", StructuresConfig)
    chosen = cfg.get_module("potential", family="potentials")
    if not isinstance(chosen, Potential):
        raise InputError(f"the potential is {type(chosen).__name__}; expected one such as lennard-jones")
    batch = cfg.get("batch", BatchConfig)
    record = cfg.get("record", RecordConfig(trajectory_interval=MD_FRAMES if job == "md" else None))
    chain = _chain(cfg, job, chosen)
    if given is None and not section.files:
        raise InputError("no structures given: expected files, such as structures.extxyz")
    structures = structures_from(
        section.files if given is None else given,
        strict=section.strict,
        fixed_center=section.fixed_center,
    )
    structures = replace(structures, fields=chosen.reads)
    _look_at(structures, chosen, chain, strict=section.strict)
    stages = FusedStage(list(enumerate(_with_velocities(chain))))
    usable = [index for index in range(len(structures)) if index not in structures.problems]
    plan = plan_buckets(
        [structures.inputs[index].n_atoms for index in usable],
        max_batch_size=batch.max_batch_size,
        max_atoms=batch.max_atoms,
        max_buckets=batch.max_buckets,
        names=[structures.source(index) or f"structure {index}" for index in usable],
    )
    return StructurePlan(job, structures, chosen, stages, plan, record, seed)


def _chain(cfg: ConfigManager, job: StructuresJobName, potential: Potential) -> tuple[BaseDynamics, ...]:
    """The stages that each structure goes through: those that are listed, or one, named after the job."""
    listed = cfg.get_modules("stages", (), family="dynamics", model=potential)
    if listed:
        other = cfg.origin_of(job)
        if other:
            raise InputError(
                f"{other}: the stages are listed, each with its settings; '{job}' is for a run of one stage"
            )
        chain = listed
    elif job == "relax":
        default = FIRE(potential, fmax=RELAX_FMAX, n_steps=RELAX_STEPS)
        chain = (cfg.get_module(job, default, family="dynamics", model=potential),)
    else:
        chain = (cfg.get_module(job, "nvt-langevin", family="dynamics", model=potential),)
    for number, stage in enumerate(chain):
        where = f"stages, number {number + 1}" if listed else job
        if not isinstance(stage, BaseDynamics):
            raise InputError(f"{where}: {type(stage).__name__} is no dynamics; expected one such as fire or nve")
        if stage.criterion is None and stage.n_steps is None:
            more = "fmax or n_steps" if hasattr(stage, "fmax") else "n_steps"
            raise InputError(f"{where}: {stage.name} would never end: it has neither criterion nor budget; give {more}")
    return tuple(chain)


def _look_at(structures: StructureSet, potential: Potential, chain: tuple[BaseDynamics, ...], *, strict: bool) -> None:
    """Note what cannot be used; raise if that is all there is, or if nothing may be left out."""

    def check(data: AtomicData) -> None:
        data.check()
        one = batch_from([data])
        potential.check(one)
        for stage in chain:
            stage.check(one)

    structures.refuse(check)
    for stage in chain:
        check_lengths(stage, len(structures))
    problems = structures.problems
    if problems and (strict or len(problems) == len(structures)):
        first = min(problems)
        more = "" if len(problems) == 1 else f" (and {len(problems) - 1} more of {len(structures)} cannot be used)"
        raise InputError(f"{structures.problems[first]}{more}")


def _with_velocities(chain: tuple[BaseDynamics, ...]) -> tuple[BaseDynamics, ...]:
    """The chain, whose first dynamics draws velocities, if it has a temperature, where nothing moves yet."""
    first, *others = chain
    temperature = getattr(first, "temperature", None)
    if not isinstance(first, MolecularDynamics) or temperature is None or first.initial_temperature is not None:
        return chain
    return (replace(first, initial_temperature=temperature, only_at_rest=True), *others)
