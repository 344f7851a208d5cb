"""The commands of `adiabat`: one table of words, so that help needs no import of what they run."""

from __future__ import annotations

from dataclasses import dataclass

from adiabat.cli.arguments import Option, Positional, count, seconds

__all__ = ["COMMANDS", "COMMON", "Command"]


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        run: `module:function` that returns the exit code; called with the parsed `Arguments`, or with nothing
            if the command takes nothing.
        summary: one line.
        positionals: what it takes without a dash.
        options: its own options, besides those every command has.
        takes_settings: whether `--section.name value` sets the configuration.
        sections: of the configuration, as the help lists them.
        examples: lines for the help.
    """

    run: str
    summary: str
    positionals: tuple[Positional, ...] = ()
    options: tuple[Option, ...] = ()
    takes_settings: bool = False
    sections: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


_SEED = Option("--seed", "of the random numbers (default 0)", "N", setting="seed")

COMMON = (
    Option("--verbose", "say more", letter="-v"),
    Option("--quiet", "say only what goes wrong", letter="-q"),
    Option("--help", "show this help", letter="-h"),
)

_RUN_OPTIONS = (
    Option("--config", "YAML file with settings, which flags overrule; may be given again", "FILE", many=True),
    Option(
        "--time-limit",
        "save and stop after 90 (seconds), 10m, 1h30m; the same command goes on",
        "TIME",
        convert=seconds,
    ),
    Option("--devices", "split the CPU into N devices", "N", convert=count),
    Option("--show-config", "print every setting and where it comes from, and stop"),
)

_STRUCTURES = (
    Positional("FILE", "structures, in any format that ASE reads (extxyz, cif, POSCAR, traj, db, ...)", many=True),
)

_STRUCTURE_OPTIONS = (
    Option("--potential", "see 'adiabat list potentials'; required", "KIND", setting="potential"),
    Option(
        "--trajectory",
        "a frame of each structure every N steps (default: md 100, relax none)",
        "N",
        setting="record.trajectory_interval",
    ),
    Option("--batch-size", "most structures under way at once (default 64)", "N", setting="batch.max_batch_size"),
    Option("--strict", "stop before all else if one structure cannot be used", setting="structures.strict"),
    _SEED,
    Option("--out", "folder of the run (default runs/<name of the file>); an existing run is resumed", "FOLDER"),
    *_RUN_OPTIONS,
)

COMMANDS: dict[str, Command] = {
    "energy": Command(
        "adiabat.cli.energy:run",
        "ground-state energy of a molecule, with an error bar",
        (
            Positional(
                "SYSTEM",
                "a name (LiH), a structure file (water.xyz), or atoms in quotes ('H 0 0 0; H 0 0 0.74')",
            ),
        ),
        (
            Option("--charge", "charge of the molecule (default 0)", "N", setting="system.charge"),
            Option(
                "--spin",
                "2S, the number of unpaired electrons (default: of the ground state, else the lowest)",
                "N",
                setting="system.spin",
            ),
            Option(
                "--unit",
                "of positions given inline: angstrom (default) or bohr",
                "UNIT",
                setting="system.unit",
            ),
            Option(
                "--walkers",
                "electron configurations sampled at once (default 1024)",
                "N",
                setting="sampler.walkers",
            ),
            Option(
                "--wavefunction",
                "see 'adiabat list wavefunctions' (default ferminet)",
                "KIND",
                setting="wavefunction",
            ),
            Option(
                "--error",
                "sample until the error bar is this small, in hartree",
                "E",
                setting="evaluate.error",
            ),
            _SEED,
            Option("--out", "folder of the run (default runs/<name>); an existing run is resumed", "FOLDER"),
            Option(
                "--reset-optimizer",
                "resume training with the optimizer begun anew, also of another kind; not for a new run",
            ),
            *_RUN_OPTIONS,
        ),
        takes_settings=True,
        sections=("wavefunction", "sampler", "system", "pretrain", "train", "evaluate"),
        examples=(
            "adiabat energy LiH",
            "adiabat energy 'H 0 0 0; H 0 0 1.4' --unit bohr --error 1e-3",
            "adiabat energy water.xyz --train.iterations 5000 --train.optimizer.damping 1e-3",
        ),
    ),
    "evaluate": Command(
        "adiabat.cli.evaluate:run",
        "more samples from a finished run, for a smaller error bar",
        (Positional("FOLDER", "the folder of a finished run, such as runs/LiH"),),
        (
            Option(
                "--error",
                "sample until the error bar is this small, in hartree",
                "E",
                setting="evaluate.error",
            ),
            *_RUN_OPTIONS,
        ),
        takes_settings=True,
        sections=("wavefunction", "sampler", "system", "pretrain", "train", "evaluate"),
        examples=("adiabat evaluate runs/LiH --error 1e-3",),
    ),
    "relax": Command(
        "adiabat.cli.structures:relax",
        "many structures to their energy minima, cells too if asked",
        _STRUCTURES,
        (
            Option(
                "--fmax",
                "largest force at the end, in eV/angstrom (default 0.01)",
                "FORCE",
                setting="relax.fmax",
            ),
            Option("--steps", "steps of a structure, at most (default 5000)", "N", setting="relax.n_steps"),
            Option("--method", "fire (default), fire2, gradient-descent", "KIND", setting="relax.kind"),
            Option("--cell", "relax the cells too", setting="relax.cell"),
            Option(
                "--pressure",
                "from outside, on cells, which then relax (default 0)",
                "GPA",
                setting="relax.cell.pressure",
            ),
            *_STRUCTURE_OPTIONS,
        ),
        takes_settings=True,
        sections=("potential", "relax", "structures", "batch", "record"),
        examples=(
            "adiabat relax clusters.extxyz --potential lennard-jones",
            "adiabat relax *.cif --potential lennard-jones --potential.mixing lorentz-berthelot --cell",
            "adiabat relax start.xyz --config chain.yaml",
        ),
    ),
    "md": Command(
        "adiabat.cli.structures:md",
        "molecular dynamics of many structures",
        _STRUCTURES,
        (
            Option("--ensemble", "nvt-langevin (default), nvt-nose-hoover, nve", "KIND", setting="md.kind"),
            Option("--temperature", "of the bath", "K", setting="md.temperature"),
            Option("--steps", "steps of each structure; required", "N", setting="md.n_steps"),
            Option("--dt", "time step (default 1)", "FS", setting="md.dt"),
            *_STRUCTURE_OPTIONS,
        ),
        takes_settings=True,
        sections=("potential", "md", "structures", "batch", "record"),
        examples=(
            "adiabat md start.extxyz --potential lennard-jones --temperature 80 --steps 10000",
            "adiabat md start.extxyz --potential lennard-jones --ensemble nve --md.initial-temperature 80 --steps 5000",
        ),
    ),
    "report": Command(
        "adiabat.cli.report:run",
        "table and plots of a run again, from its files",
        (Positional("FOLDER", "the folder of a run, such as runs/LiH"),),
        examples=("adiabat report runs/LiH",),
    ),
    "list": Command(
        "adiabat.cli.list_kinds:run",
        "what can be chosen by name: optimizers, wavefunctions, ...",
        (Positional("FAMILY", "a family of kinds, such as optimizers", optional=True),),
        examples=("adiabat list", "adiabat list optimizers"),
    ),
    "describe": Command(
        "adiabat.cli.describe:run",
        "the settings of a kind or section, with defaults and ranges",
        (Positional("NAME", "a kind (sr), a section (train) or package.module:Class"),),
        examples=("adiabat describe sr", "adiabat describe train"),
    ),
    "doctor": Command(
        "adiabat.cli.doctor:run_doctor",
        "check this installation: versions, devices, cache, known defects of JAX",
    ),
}
"""By name, in the order of the help."""
