"""`adiabat relax FILE ...` and `adiabat md FILE ...`: many structures through one stage, or a chain of them."""

from __future__ import annotations

from adiabat.cli.arguments import Arguments
from adiabat.cli.process import prepare
from adiabat.cli.sources import configuration, print_configuration
from adiabat.config import StructuresJobName, from_mapping

__all__ = ["md", "relax"]

SOME_FAILED = 4
"""Exit code of a run that has finished, but not for all structures."""


def relax(arguments: Arguments) -> int:
    """Relax structures; resumes what the run folder holds."""
    return _run(arguments, "relax")


def md(arguments: Arguments) -> int:
    """Move structures in time; resumes what the run folder holds."""
    return _run(arguments, "md")


def _run(arguments: Arguments, job: StructuresJobName) -> int:
    cfg = configuration(arguments, above=[from_mapping({"structures": {"files": arguments.positionals}})])
    prepare(arguments.options.get("devices"))
    from adiabat.runs import simulate

    result = simulate(
        cfg,
        job,
        out=arguments.options.get("out"),
        time_limit=arguments.options.get("time_limit"),
        verbosity=arguments.verbosity,
        show_config="show_config" in arguments.options,
    )
    if result is None:
        print_configuration(cfg)
        return 0
    return SOME_FAILED if result.summary["outcomes"]["failed"] else 0
