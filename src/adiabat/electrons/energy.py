"""The ground-state energy of a molecule, from Hartree-Fock to an error bar, and a folder with all of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from adiabat.config import ConfigManager
from adiabat.electrons.energy_plan import EnergyPlan, plan_energy, recorded_molecule
from adiabat.electrons.energy_result import ENERGY, EnergyResult, evaluation, summarise, write_digest
from adiabat.electrons.hartree_fock import HartreeFock
from adiabat.engine import CheckpointMisfit, Checkpoints, Driver, Job, MetricsRecorder, SignalHandler
from adiabat.errors import InputError, Interrupted
from adiabat.io import RunFolder

FINISHED_BEFORE = "the run was finished before; ask for more train.iterations or a smaller error to extend it"


def run_energy(
    cfg: ConfigManager,
    *,
    system: str | Path | None,
    out: Path | None = None,
    time_limit: float | None = None,
    reset_optimizer: bool = False,
    show_config: bool = False,
    callbacks: Sequence[Any] = (),
) -> EnergyResult | None:
    """Compute the energy of a molecule; resumes, or extends, what its run folder holds.

    Parameters
    ----------
    cfg : ConfigManager
        All settings.
    system : str or path, optional
        Name, structure file or coordinates; None: the molecule of the run in ``out``.
    out : path, optional
        Run folder; default ``runs/<name>``.
    time_limit : float, optional
        Seconds after which the run stops, to be resumed.
    reset_optimizer : bool
        Go on with the state of the optimizer, which may then be another one, begun anew.
    show_config : bool
        Only read and check the configuration.
    callbacks : sequence
        For the Driver, besides those that record the run.

    Raises
    ------
    InputError, NumericalError, OutputError, Interrupted
        Whatever ends a run early; ``summary.json`` says so too.
    """
    recorded = RunFolder(out).read_summary() if system is None and out is not None else {}
    plan = plan_energy(cfg, recorded_molecule(recorded) if recorded else system)
    cfg.finalize()
    if show_config:
        return None
    folder = RunFolder(out or Path("runs") / plan.molecule.name)
    resumes = any(folder.checkpoints.glob("*.npz"))
    if reset_optimizer and not resumes:
        raise InputError(f"--reset-optimizer: {folder.path} holds no run yet that could go on with another optimizer")
    job = _EnergyJob(
        folder,
        cfg.to_yaml(),
        plan,
        resumes=resumes,
        time_limit=time_limit,
        reset_optimizer=reset_optimizer,
        callbacks=callbacks,
    )
    job.carry_out()
    return job.result


class _EnergyJob(Job):
    """Pretraining, training and evaluation of one molecule."""

    driver: Driver
    result: EnergyResult
    hartree_fock_energy: float | None = None

    def __init__(
        self,
        folder: RunFolder,
        config: str,
        plan: EnergyPlan,
        *,
        resumes: bool,
        time_limit: float | None,
        reset_optimizer: bool,
        callbacks: Sequence[Any],
    ) -> None:
        super().__init__(folder, config, plan.identity, resumes=resumes)
        self.plan, self.time_limit = plan, time_limit
        self.reset_optimizer, self.callbacks = reset_optimizer, callbacks

    def prepare(self, signals: SignalHandler) -> None:
        """Make the driver and put it where it is to go on from."""
        plan, folder, resuming = self.plan, self.folder, self.resumes
        self.hartree_fock_energy = folder.read_summary().get("hartree_fock_energy")
        self.log.say(plan.molecule.source)
        # Before anything compiles: it takes seconds, and many times as long beside a thread that traces.
        hf = self._hartree_fock() if plan.needs_pretraining or not resuming else None
        config = plan.train.config
        self.driver = Driver(
            plan.stages(hf),
            seed=plan.seed,
            systems=plan.systems(None if resuming else hf, self.log.say),
            callbacks=[*self.callbacks, self.log, MetricsRecorder(folder.metrics, plan.writers)],
            checkpoints=Checkpoints(
                folder.checkpoints,
                step_interval=config.save_step_interval,
                time_interval=config.save_time_interval,
                keep_every=config.save_keep_every or None,
            ),
            time_limit=self.time_limit,
            signals=signals,
            mesh=plan.mesh,
        )
        parameters = sum(leaf.size for leaf in jax.tree.leaves(self.driver.state.systems.params))
        self.log.say(f"{plan.wavefunction.description}, {parameters} parameters, {plan.sampler.walkers} walkers")
        self._say_of_the_optimizer()
        if resuming:
            self._restore()
        if not self.driver.done:
            threading.Thread(target=self.driver.compile, name="adiabat-compile", daemon=True).start()

    def _say_of_the_optimizer(self) -> None:
        """What the optimizer has to say of the parameters it is given, if anything."""
        remarks = getattr(self.plan.train.optimizer, "remarks", None)
        if remarks is not None:
            one = jax.tree.map(lambda leaf: leaf[0], self.driver.state.systems)
            for remark in remarks(one.params, one.batched_data):
                self.log.say(remark)

    def _restore(self) -> None:
        try:
            self.driver.restore(renew=("optimizer",) if self.reset_optimizer else ())
        except CheckpointMisfit as error:
            if not error.renewable:
                raise
            raise InputError(
                f"{error}, or let the optimizer begin anew: adiabat energy ... --reset-optimizer"
            ) from error

    def _hartree_fock(self) -> HartreeFock:
        hf = self.plan.hartree_fock()
        self.hartree_fock_energy = hf.energy
        for note in hf.notes:
            self.log.say(note)
        self.log.say(f"Hartree-Fock energy {hf.energy:.6f} hartree ({hf.method}, {hf.basis_name})")
        return hf

    def run(self) -> str:
        """Run the stages that are left."""
        if self.driver.done:
            self.log.say(FINISHED_BEFORE)
            return FINISHED_BEFORE
        try:
            self.driver.run()
            if not self.driver.done:
                raise Interrupted("stopped by a callback; the same command goes on from there")
        except Interrupted as error:
            if self.reset_optimizer:  # it would begin anew once more
                raise Interrupted(f"{error}, without --reset-optimizer") from error
            raise
        return "all stages are done"

    def conclude(self, status: str, reason: str) -> dict[str, Any]:
        """The digest of the evaluation, as far as it has come, and the summary."""
        summary = summarise(self.plan, self.driver, status, reason, self.hartree_fock_energy)
        found = evaluation(self.driver)
        if found:
            write_digest(self.folder.digest, found)
            energy = found[ENERGY]
            systems = self.driver.state.systems
            self.result = EnergyResult(energy.mean, energy.error, energy, summary, systems, self.folder.path)
        return summary
