"""The jobs a user runs, from Python as from the command line: compute, show, and leave a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adiabat.config import ConfigManager, StructuresJobName, from_keywords, from_mapping, from_yaml

if TYPE_CHECKING:
    from adiabat.atoms.runs import StructuresResult
    from adiabat.electrons.energy_result import EnergyResult, EnergyRun


def energy(
    system: str | Path,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    time_limit: float | None = None,
    reset_optimizer: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> EnergyResult:
    """Compute the ground-state energy of a molecule.

    Parameters
    ----------
    system : str or path
        Name ("LiH"), structure file, or coordinates ("H 0 0 0; H 0 0 1.4" with ``unit="bohr"``).
    out : path, optional
        Run folder, default ``runs/<name>``. A folder that holds the same run is resumed or extended.
    config : path, optional
        YAML file of settings.
    time_limit : float, optional
        Seconds after which the run stops, to be resumed.
    reset_optimizer : bool
        Resume training with the optimizer's state begun anew, and perhaps of another kind. All else goes on as saved.
    quiet : bool
        Print nothing.
    **settings
        As on the command line: ``walkers=512, seed=1, train={"iterations": 500}``.

    Returns
    -------
    EnergyResult
        With ``energy``, ``error``, ``state`` and ``summary``.

    Raises
    ------
    InputError, NumericalError, OutputError, Interrupted
    """
    sources = [] if config is None else [from_yaml(config)]
    cfg = ConfigManager([*sources, from_keywords(**settings)])
    verbosity = -1 if quiet else 0
    result = compute(cfg, system, out=out, time_limit=time_limit, reset_optimizer=reset_optimizer, verbosity=verbosity)
    assert result is not None
    return result


def evaluate(
    folder: str | Path, *, time_limit: float | None = None, quiet: bool = False, **settings: Any
) -> EnergyResult:
    """Go on with a run as its folder says, changed by what is given: ``evaluate("runs/LiH", error=1e-4)``."""
    cfg = ConfigManager([from_yaml(Path(folder) / "config.yaml"), from_keywords(**settings)])
    result = compute(cfg, None, out=folder, time_limit=time_limit, verbosity=-1 if quiet else 0)
    assert result is not None
    return result


def load(folder: str | Path) -> EnergyRun:
    """Read a run back: ``system``, ``network``, ``parameters``, ``log_psi``, ``walkers``, ``results``."""
    from adiabat.electrons.energy_result import load as load_run

    return load_run(folder)


def compute(
    cfg: ConfigManager,
    system: str | Path | None,
    *,
    out: str | Path | None = None,
    time_limit: float | None = None,
    reset_optimizer: bool = False,
    verbosity: int = 0,
    show_config: bool = False,
) -> EnergyResult | None:
    """Run, with a live line, and show the table and draw the plots at the end."""
    from rich.console import Console

    from adiabat.electrons.energy import FINISHED_BEFORE, run_energy
    from adiabat.report import LiveProgress, draw_plots, print_table

    live = [] if verbosity < 0 else [LiveProgress(verbose=verbosity > 0)]
    folder = None if out is None else Path(out)
    result = run_energy(
        cfg,
        system=system,
        out=folder,
        time_limit=time_limit,
        reset_optimizer=reset_optimizer,
        show_config=show_config,
        callbacks=live,
    )
    if result is not None:
        draw_plots(result.folder, result.summary)
        if verbosity >= 0:
            if result.summary["reason"] == FINISHED_BEFORE:
                Console().print(f"{result.folder}: {FINISHED_BEFORE}", highlight=False)
            print_table(result.summary, result.folder)
    return result


# --- structures ---------------------------------------------------------------------------------------------


def relax(
    structures: Any,
    potential: Any = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    time_limit: float | None = None,
    quiet: bool = True,
    **settings: Any,
) -> StructuresResult:
    """Relax structures, many at once.

    Parameters
    ----------
    structures : path, ase.Atoms, AtomicData, or a sequence of those
    potential : str or Potential, optional
        A kind ("lennard-jones") or an object; None: what the settings say.
    out : path, optional
        Run folder. By default ``runs/<name>`` for files, and none that stays for structures given in Python.
    config : path, optional
        YAML file of settings, which may list a chain of ``stages``.
    time_limit : float, optional
        Seconds after which the run stops, to be resumed.
    quiet : bool
        Print nothing.
    **settings
        As on the command line: ``fmax=0.01, steps=500, cell=True, relax={"dt_max": 0.5}``.

    Returns
    -------
    StructuresResult
        With ``rows``, ``structures``, ``energies``, ``summary``; in the order of the input. A structure that fails
        stops no other: see ``outcomes``.

    Raises
    ------
    InputError, OutputError, Interrupted
    """
    return _structures("relax", structures, potential, out, config, time_limit, quiet, settings)


def md(
    structures: Any,
    potential: Any = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    time_limit: float | None = None,
    quiet: bool = True,
    **settings: Any,
) -> StructuresResult:
    """Molecular dynamics of structures, many at once: ``md(structures, potential, temperature=300, steps=1000)``.

    Parameters, results and errors are those of `relax`; short settings are ``ensemble, temperature, steps, dt``.
    """
    return _structures("md", structures, potential, out, config, time_limit, quiet, settings)


def _structures(
    job: StructuresJobName,
    structures: Any,
    potential: Any,
    out: str | Path | None,
    config: str | Path | None,
    time_limit: float | None,
    quiet: bool,
    settings: dict[str, Any],
) -> StructuresResult:
    sources = [] if config is None else [from_yaml(config)]
    several = structures if isinstance(structures, Sequence) and not isinstance(structures, str) else [structures]
    from_files = all(isinstance(one, (str, os.PathLike)) for one in several)
    given: dict[str, Any] = {} if potential is None else {"potential": potential}
    if from_files:
        given["structures"] = {"files": [os.fspath(one) for one in several]}
    cfg = ConfigManager([*sources, from_keywords(job, **settings), from_mapping(given)])
    with tempfile.TemporaryDirectory(prefix="adiabat-") as temporary:
        place = Path(temporary) / "structures" if out is None and not from_files else out
        result = simulate(
            cfg, job, None if from_files else structures, out=place, time_limit=time_limit, verbosity=-1 if quiet else 0
        )
    assert result is not None
    return result if place is out else replace(result, folder=None)


def simulate(
    cfg: ConfigManager,
    job: StructuresJobName,
    structures: Any = None,
    *,
    out: str | Path | None = None,
    time_limit: float | None = None,
    verbosity: int = 0,
    show_config: bool = False,
) -> StructuresResult | None:
    """Run structures through their stages, with a live line, and show the table and draw the plots at the end."""
    from rich.console import Console

    from adiabat.atoms.runs import FINISHED_BEFORE, Tally, run_structures
    from adiabat.report import LiveStructures, draw_plots, failures, print_table

    tally = Tally()
    result = run_structures(
        cfg,
        job,
        structures,
        out=None if out is None else Path(out),
        time_limit=time_limit,
        show_config=show_config,
        tally=tally,
        callbacks=[] if verbosity < 0 else [LiveStructures(tally, verbose=verbosity > 0)],
    )
    if result is not None and result.folder is not None:
        draw_plots(result.folder, result.summary)
        if verbosity >= 0:
            if result.summary["reason"] == FINISHED_BEFORE:
                Console().print(f"{result.folder}: {FINISHED_BEFORE}", highlight=False)
            print_table(result.summary, result.folder)
            said = failures(result.summary)
            if said:
                Console().print(said, highlight=False)
    return result
