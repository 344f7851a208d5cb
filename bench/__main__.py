"""`python -m bench [NAME ...]`: runs the benchmarks and prints one table of what they found.

The exit code is 1 where a limit was missed. The limits are for two cores without a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from adiabat.cli.process import prepare
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


def time_to_accuracy(options: argparse.Namespace) -> list[Row]:
    """Whole runs, from the command to the energy."""
    from bench.time_to_accuracy import measure

    if options.quick:
        return measure(options.systems[:1], options.seeds[:1])
    return measure(options.systems, options.seeds)


BENCHMARKS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    benchmark.__name__: benchmark for benchmark in (start_up, driver_overhead, step_cost, time_to_accuracy)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks named, by default all, and return the exit code."""
    options = _parse(arguments)
    # As the command line does, and before JAX is imported.
    prepare()
    rows: list[Row] = []
    for name in options.names or BENCHMARKS:
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
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks; all if none is named")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, one run to accuracy")
    parser.add_argument(
        "--networks", type=_words, default=["ferminet"], help="of step_cost: ferminet,psiformer (default ferminet)"
    )
    parser.add_argument("--walkers", type=int, default=256, help="of step_cost (default 256)")
    parser.add_argument(
        "--systems", type=_words, default=["H2", "LiH", "Be"], help="of time_to_accuracy (default H2,LiH,Be)"
    )
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="of time_to_accuracy (default 0,1,2)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there is {', '.join(BENCHMARKS)}")
    return options


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
