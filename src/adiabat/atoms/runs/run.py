"""Structures through their stages, in a run folder: batch by batch of one slot size, resumable, each accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adiabat.atoms.batch import Batch
from adiabat.atoms.buckets import Bucket
from adiabat.atoms.hooks import LoggingHook, TrajectoryWriter
from adiabat.atoms.in_flight import SamplerSource, SinkOutlet
from adiabat.atoms.runs.plan import StructurePlan, plan_structures
from adiabat.atoms.runs.results import StructuresResult, gathered, write_results
from adiabat.atoms.runs.tally import Tally
from adiabat.atoms.sinks import HDF5Sink
from adiabat.atoms.size_aware_sampler import SizeAwareSampler
from adiabat.atoms.user_fields import fields_of
from adiabat.config import ConfigManager, StructuresJobName
from adiabat.engine import (
    AbstractCallback,
    Checkpoints,
    Driver,
    InFlight,
    Job,
    Ledger,
    Outcome,
    SignalHandler,
    surroundings,
)
from adiabat.errors import InputError, Interrupted
from adiabat.io import RunFolder

__all__ = ["run_structures"]

MOST_FAILURES = 5
"""That the summary names; results.csv has them all."""

FINISHED_BEFORE = "the run was finished before; name another folder to do it again"


def run_structures(
    cfg: ConfigManager,
    job: StructuresJobName,
    structures: Any = None,
    *,
    out: Path | None = None,
    time_limit: float | None = None,
    show_config: bool = False,
    tally: Tally | None = None,
    callbacks: Sequence[Any] = (),
) -> StructuresResult | None:
    """Relax structures, or move them in time; resumes what its run folder holds.

    Parameters
    ----------
    cfg : ConfigManager
        All settings.
    job : "relax" or "md"
        What is done if no chain of stages is listed.
    structures : path, Atoms, AtomicData or sequence of those, optional
        None: the files of the configuration.
    out : path, optional
        Run folder; default ``runs/<name of the first file>``.
    time_limit : float, optional
        Seconds after which the run stops, to be resumed.
    show_config : bool
        Only read and check the configuration.
    tally : Tally, optional
        That is to count, for who wants to look at it while the run goes on.
    callbacks : sequence
        For the Driver, besides those that record the run.

    Raises
    ------
    InputError, OutputError, Interrupted
        Whatever ends a run early; ``summary.json`` says so too.
    """
    plan = plan_structures(cfg, job, structures)
    cfg.finalize()
    if show_config:
        return None
    folder = RunFolder(out or Path("runs") / plan.structures.name)
    settings = {record.path: str(record.value) for record in cfg.resolved() if _decides(record.path)}
    nameless = sorted(path for path, value in settings.items() if "<lambda>" in value or "<locals>" in value)
    resumes = any(folder.checkpoints.glob("*/*.npz"))
    if resumes and nameless:
        raise InputError(
            f"{folder.path} holds a run, and whether {nameless[0]} is what it was then cannot be told of a function "
            "without a name of its own: name another folder, or put the function into a module"
        )
    work = _StructuresJob(
        folder, cfg.to_yaml(), plan, settings, resumes=resumes, time_limit=time_limit, tally=tally, callbacks=callbacks
    )
    work.carry_out()
    return work.result


def _decides(path: str) -> bool:
    """Whether a setting decides what a system does, so that a run that goes on has to have the same."""
    return path.split(".")[0] not in ("seed", "structures", "record")


class _StructuresJob(Job):
    """All structures of a plan, bucket by bucket."""

    result: StructuresResult

    def __init__(
        self,
        folder: RunFolder,
        config: str,
        plan: StructurePlan,
        settings: Mapping[str, str],
        *,
        resumes: bool,
        time_limit: float | None = None,
        tally: Tally | None = None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        super().__init__(folder, config, plan.identity, resumes=resumes)
        self.plan, self.settings, self.time_limit = plan, settings, time_limit
        self.tally, self.callbacks = tally or Tally(), callbacks

    def prepare(self, signals: SignalHandler) -> None:
        """Open the sink, make the queue, and read how far each bucket has come."""
        plan = self.plan
        structures = plan.structures
        self.log.say(f"{len(structures)} structures, {plan.potential.name}, {plan.stages.fused!r}")
        for problem in structures.problems.values():
            self.log.say(f"cannot be used: {problem}")
        self.ledger = Ledger(len(structures))
        self.sink = HDF5Sink(self.folder.path / "structures.h5")
        for index, problem in structures.problems.items():
            self.ledger.refuse(index, problem)
        fields = fields_of(structures[i] for i in range(len(structures)))
        self.sampler = SizeAwareSampler(structures, fields=fields, without=structures.problems)
        self.tally.begin([data.n_atoms for data in structures.inputs], self.ledger)
        self._signals = signals
        self.drivers: list[Driver] = []
        for bucket in plan.buckets.buckets:
            self.drivers.append(self._driver(bucket))
            if not self.drivers[-1].done:
                break
            self.tally.passed(self.drivers[-1])

    def run(self) -> str:
        """One bucket after the other."""
        if len(self.drivers) == len(self.plan.buckets.buckets) and self.drivers[-1].done:
            self.log.say(FINISHED_BEFORE)
            return FINISHED_BEFORE
        for number, bucket in enumerate(self.plan.buckets.buckets):
            if number == len(self.drivers):
                self.drivers.append(self._driver(bucket))
            driver = self.drivers[number]
            if not driver.done:
                driver.run()
            if not driver.done:
                raise Interrupted("stopped by a callback; the same command goes on from there")
        return "all structures are accounted for"

    def conclude(self, status: str, reason: str) -> dict[str, Any]:
        """results.csv, final.extxyz and the summary."""
        self.sink.close()
        rows, final = gathered(self.plan.structures, self.ledger, self.sink, self._under_way())
        write_results(self.folder.path, rows, final)
        plan = self.plan
        summary = {
            "kind": plan.job,
            "name": plan.structures.name,
            "status": status,
            "reason": reason,
            "seed": plan.seed,
            "versions": surroundings(),
            "unit": "eV",
            "potential": plan.potential.name,
            "structures": len(plan.structures),
            "outcomes": self.ledger.counts,
            "failures": self._first_failures(),
            **self.tally.summary(self.drivers),
        }
        self.result = StructuresResult(rows, final, summary, self.folder.path)
        return summary

    def _under_way(self) -> dict[int, tuple[int, str]]:
        """Steps and stage of those who have not ended, by their index."""
        found = {}
        for driver in self.drivers:
            labels, clock = {sub.code: sub.label for sub in driver.stage.sub_stages}, driver.state.clock
            for system, steps, status in np.stack([clock.system_id, clock.age, clock.status], axis=1).tolist():
                if system >= 0:
                    found[system] = steps, labels.get(status, "")
        return found

    def _first_failures(self) -> dict[str, str]:
        """Why the first few of those that failed did, by their index."""
        failed = np.flatnonzero(self.ledger.outcome == Outcome.FAILED)[:MOST_FAILURES]
        return {str(index): self.ledger.reason(index) for index in failed.tolist()}

    def _driver(self, bucket: Bucket) -> Driver:
        """A Driver for the slots of one size; queue and ledger are common to all of them."""
        plan = self.plan
        source = SamplerSource(
            self.sampler, self._prepared, bucket.n_slots, bucket.n_slot_atoms, check=plan.structures.check
        )
        name, record = f"{bucket.n_slot_atoms}-atoms", plan.record
        driver = Driver(
            plan.stages.fused,
            seed=plan.seed,
            in_flight=InFlight(source, SinkOutlet([self.sink]), self.ledger),
            callbacks=[self.tally, *self.callbacks, self.log, *self._writers(name)],
            checkpoints=Checkpoints(
                self.folder.checkpoints / name,
                step_interval=record.save_step_interval,
                time_interval=record.save_time_interval,
            ),
            signature=self.settings,
            time_limit=self.time_limit,
            signals=self._signals,
        )
        # Also where nothing was saved yet: what a run that was killed wrote before is then written anew.
        driver.restore()
        return driver

    def _writers(self, name: str) -> list[AbstractCallback]:
        """What writes the course of the structures of a bucket."""
        record, writers = self.plan.record, list[AbstractCallback]()
        if record.log_interval is not None:
            writers.append(LoggingHook(self.folder.metrics / f"{name}.csv", record.log_interval))
        if record.trajectory_interval is not None:
            suffix = "h5" if record.trajectory_format == "hdf5" else "extxyz"
            path = self.folder.path / "trajectories" / f"{name}.{suffix}"
            writers.append(TrajectoryWriter(path, record.trajectory_interval))
        return writers

    def _prepared(self, batch: Batch) -> Batch:
        return self.plan.potential.prepare(batch)
