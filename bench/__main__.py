"""`python -m bench [NAME ...]`: runs the benchmarks and prints one table of what they found.

The exit code is 1 where a limit was missed. The limits are for two cores without a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from adiabat.cli.process import prepare
from bench.optimizer_contestants import CONTESTANTS
from bench.rows import Row, format_table


def start_up(options: argparse.Namespace) -> list[Row]:
    """Seconds until something happens."""
    from bench.start_up import measure

    return measure(repeats=3 if options.quick else 7)


def driver_overhead(options: argparse.Namespace) -> list[Row]:
    """What the loop costs by itself."""
    from bench.driver_overhead import measure

    return measure(repeats=3 if options.quick else 7)


def step_cost(options: argparse.Namespace) -> list[Row]:
    """A training step and its parts in forward passes, and its memory."""
    from bench.step_cost import measure
    from bench.workload import Workload

    rounds = 2 if options.quick else 7
    return [
        row
        for network in options.networks
        for row in measure(Workload(network=network, walkers=options.walkers), rounds=rounds)
    ]


def optimizer_memory(options: argparse.Namespace) -> list[Row]:
    """How the memory of an update grows with walkers and parameters."""
    from bench.optimizer_memory import measure

    return measure((128, 256)) if options.quick else measure()


def dynamics(options: argparse.Namespace) -> list[Row]:
    """Batched dynamics next to other programs, which it installs: many minutes."""
    from bench.dynamics.measure import measure

    return measure(rounds=2, quick=True) if options.quick else measure()


def time_to_accuracy(options: argparse.Namespace) -> list[Row]:
    """Whole runs, from the command to the energy."""
    from bench.time_to_accuracy import measure

    systems = options.systems or ["H2", "LiH", "Be"]
    if options.quick:
        return measure(systems[:1], options.seeds[:1])
    return measure(systems, options.seeds)


def chgnet_step(options: argparse.Namespace) -> list[Row]:
    """A step of 64 crystals with CHGNet, in passes through its network; needs the extra chgnet."""
    from bench.chgnet_step import measure

    return measure(rounds=2 if options.quick else 7)


def chgnet_relaxations(options: argparse.Namespace) -> list[Row]:
    """100 crystals relaxed with CHGNet in flight, and by ASE; needs the extra chgnet."""
    from bench.chgnet_relaxations import measure

    return measure(count=20) if options.quick else measure()


def optimizers(options: argparse.Namespace) -> list[Row]:
    """Optimizers compared by the energy they reach: hours, may be stopped, goes on."""
    from bench.optimizers import measure, write_docs

    systems, seeds = options.systems or ["Be", "LiH"], options.seeds
    if options.quick:
        systems, seeds = systems[:1], seeds[:1]
    folder, show = Path(options.folder), options.show
    if options.pace:
        from bench.optimizer_pace import measure_pace

        measure_pace(systems, folder)
    rows = measure(systems, seeds, options.only, folder=folder, hours=options.hours, retry=options.retry, show=show)
    if options.write_docs:
        write_docs(folder)
    return rows


BENCHMARKS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    benchmark.__name__: benchmark
    for benchmark in (
        start_up,
        driver_overhead,
        step_cost,
        optimizer_memory,
        time_to_accuracy,
        dynamics,
        chgnet_step,
        chgnet_relaxations,
        optimizers,
    )
}
UNASKED = [name for name in BENCHMARKS if name not in ("dynamics", "chgnet_step", "chgnet_relaxations", "optimizers")]
"""What runs if none is named: all that takes minutes and needs nothing but adiabat."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks named, by default `UNASKED`, and return the exit code."""
    options = _parse(arguments)
    # As the command line does, and before JAX is imported.
    prepare()
    rows: list[Row] = []
    for name in options.names or UNASKED:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += BENCHMARKS[name](options)
    print(format_table(rows))
    print(f"\n{_machine()}")
    return int(any(row.missed for row in rows))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    summaries = "\n".join(f"  {name:18}{(benchmark.__doc__ or '').strip()}" for name, benchmark in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="./dev bench", description=f"benchmarks:\n{summaries}", formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="which; all but dynamics, chgnet_* and optimizers if none is named",
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, one run to accuracy")
    parser.add_argument(
        "--networks", type=_words, default=["ferminet"], help="of step_cost: ferminet,psiformer (default ferminet)"
    )
    parser.add_argument("--walkers", type=int, default=256, help="of step_cost (default 256)")
    parser.add_argument(
        "--systems", type=_words, help="of time_to_accuracy (default H2,LiH,Be) and optimizers (default Be,LiH)"
    )
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="of the same (default 0,1,2)")
    _add_options_of_optimizers(parser)
    options = parser.parse_args(arguments)
    for what, given, known in (("benchmark", options.names, BENCHMARKS), ("optimizer", options.only, CONTESTANTS)):
        unknown = [name for name in given if name not in known]
        if unknown:
            parser.error(f"no {what} is called {', '.join(unknown)}; there is {', '.join(known)}")
    return options


def _add_options_of_optimizers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("of optimizers")
    group.add_argument("--only", type=_words, default=list(CONTESTANTS), metavar="NAME,..", help=", ".join(CONTESTANTS))
    group.add_argument("--folder", default="runs/optimizers", help="where runs are kept (default runs/optimizers)")
    group.add_argument("--hours", type=float, help="training time allowed to each run, all its starts together")
    group.add_argument("--retry", action="store_true", help="try failed runs again")
    group.add_argument("--show", action="store_true", help="run nothing, show what there is")
    group.add_argument("--pace", action="store_true", help="measure seconds a step of all, in turn, for the tables")
    group.add_argument("--write-docs", action="store_true", help="write table and picture of docs/optimizers.md")


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


def _machine() -> str:
    """What the figures were measured on; with a load above one other programs had a share in them."""
    from importlib.metadata import version

    from adiabat.cli.blas_threads import available_cores

    python = ".".join(map(str, sys.version_info[:3]))
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{available_cores()} cores{load}, Python {python}, JAX {version('jax')}"


if __name__ == "__main__":
    sys.exit(main())
