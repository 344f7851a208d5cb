"""`adiabat evaluate FOLDER`: more samples from a finished run."""

from __future__ import annotations

from adiabat.cli.arguments import Arguments
from adiabat.cli.process import prepare
from adiabat.cli.sources import configuration, print_configuration, run_folder
from adiabat.config import from_yaml

__all__ = ["run"]


def run(arguments: Arguments) -> int:
    """Sample further with the configuration the run has written, changed by what is given now."""
    folder = run_folder(arguments.positionals[0])
    cfg = configuration(arguments, from_yaml(folder / "config.yaml"))
    prepare(arguments.options.get("devices"))
    from adiabat.runs import compute

    show_config = "show_config" in arguments.options
    compute(
        cfg,
        None,
        out=folder,
        time_limit=arguments.options.get("time_limit"),
        verbosity=arguments.verbosity,
        show_config=show_config,
    )
    if show_config:
        print_configuration(cfg)
    return 0
