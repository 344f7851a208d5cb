"""`adiabat energy SYSTEM`: pretrain, train and evaluate."""

from __future__ import annotations

from adiabat.cli.arguments import Arguments
from adiabat.cli.process import prepare
from adiabat.cli.sources import configuration, print_configuration

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Compute the energy of a molecule; resumes what its run folder holds."""
    cfg = configuration(arguments)
    prepare(arguments.options.get("devices"))
    from adiabat.runs import compute

    show_config = "show_config" in arguments.options
    compute(
        cfg,
        arguments.positionals[0],
        out=arguments.options.get("out"),
        time_limit=arguments.options.get("time_limit"),
        reset_optimizer="reset_optimizer" in arguments.options,
        verbosity=arguments.verbosity,
        show_config=show_config,
    )
    if show_config:
        print_configuration(cfg)
    return 0
