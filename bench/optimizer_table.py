"""Tables of what the comparison of optimizers found, in Markdown, and where docs/ has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from adiabat.io.atomic import write_text
from bench.optimizer_courses import Training, Value, at_seconds, at_steps, ladder, over_seeds, read_training
from bench.optimizer_pace import read_pace
from bench.optimizer_runs import FAILED, FINISHED, NOT_RUN, UNFINISHED, Trial

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
FIRST_STEPS, FIRST_SECONDS = 50, 10
NOTHING = "-"


@dataclass(frozen=True)
class Outcome:
    """What is known of a run.

    Parameters
    ----------
    contestant, system : str
    seed : int
    state : str
        As `Trial.state`.
    training : Training
    exact : float
        Hartree; NaN where it is not known.
    estimate : bool
        Whether ``exact`` is a best estimate.
    final : Value, optional
        Evaluated energy, millihartree above exact.
    failure : str
    surroundings : str
        Versions, devices and cores.
    """

    contestant: str
    system: str
    seed: int
    state: str
    training: Training
    exact: float = math.nan
    estimate: bool = False
    final: Value | None = None
    failure: str = ""
    surroundings: str = ""

    @staticmethod
    def of(trial: Trial) -> Outcome:
        """Read it from the run's folder. Runs made with other settings show nothing but that."""
        state, key = trial.state, (trial.contestant, trial.system, trial.seed)
        if state not in (FINISHED, FAILED, UNFINISHED):
            return Outcome(*key, state, read_training(Path()))
        summary, record = trial.summary(), trial.record()
        exact = summary.get("exact_energy")
        exact = math.nan if exact is None else float(exact)
        final, energy, error = None, summary.get("energy"), summary.get("energy_error")
        if state == FINISHED and energy is not None:
            final = Value(1e3 * (energy - exact), math.nan if error is None else 1e3 * error)
        return Outcome(
            *key,
            state,
            read_training(trial.folder).at_pace(read_pace(trial.root).get(trial.system, {}).get(trial.contestant)),
            exact,
            bool(summary.get("exact_is_estimate")),
            final,
            record.get("failure", ""),
            _surroundings(summary.get("versions", {}), record.get("cores", 0)),
        )

    @property
    def short(self) -> str:
        """For a cell of the table of evaluated energies."""
        if self.final is not None:
            return self.final.text()
        return f"{self.state}, {self.training.steps} steps" if self.state in (UNFINISHED, FAILED) else self.state


def tables(outcomes: Sequence[Outcome], heading: str = "##") -> str:
    """Three tables a system, then what is missing and what the figures were measured with."""
    parts = []
    for system in dict.fromkeys(outcome.system for outcome in outcomes):
        members = [outcome for outcome in outcomes if outcome.system == system]
        parts += [f"{heading} {system}", *_of_system(members)]
    missing = [_those("Not run", outcomes, NOT_RUN), _those("Unfinished", outcomes, UNFINISHED)]
    failures = [f"- {_name(o)} failed, {o.failure}" for o in outcomes if o.state == FAILED]
    strange = [
        f"- {_name(o)} was {o.state}" for o in outcomes if o.state not in (FINISHED, FAILED, NOT_RUN, UNFINISHED)
    ]
    surroundings = "; ".join(dict.fromkeys(o.surroundings for o in outcomes if o.surroundings))
    parts += [*missing, "\n".join(failures + strange), f"Measured with {surroundings}." if surroundings else ""]
    return "\n\n".join(part for part in parts if part)


def insert(path: Path, text: str) -> None:
    """Put the text between the marks in a file; all else there is kept.

    Raises
    ------
    ValueError
        The file has not both marks once, in this order.
    """
    page = path.read_text()
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"{path} has no place for the table: expected {BEGIN} and then {END}, once")
    before, rest = page.split(BEGIN)
    write_text(path, f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


def _of_system(outcomes: Sequence[Outcome]) -> list[str]:
    by_contestant: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_contestant.setdefault(outcome.contestant, []).append(outcome)
    exact = "best estimate" if any(outcome.estimate for outcome in outcomes) else "exact energy"
    steps = ladder(FIRST_STEPS, max(o.training.steps for o in outcomes))
    seconds = ladder(FIRST_SECONDS, max(o.training.total_seconds for o in outcomes))
    parts = []
    if steps:
        head = [f"step {n:g}" for n in steps] + ["seconds a step"]
        body = {
            name: [*_rungs(runs, steps, lambda t, n, e: at_steps(t, int(n), e)), _pace(runs)]
            for name, runs in by_contestant.items()
        }
        parts += [f"Millihartree above the {exact}, against steps:", _markdown(head, body)]
    if seconds:
        body = {name: _rungs(runs, seconds, at_seconds) for name, runs in by_contestant.items()}
        head = [f"{t:g} s" for t in seconds]
        parts += [f"Millihartree above the {exact}, against seconds of training:", _markdown(head, body)]
    seeds = sorted({outcome.seed for outcome in outcomes})
    body = {name: _finals(runs, seeds) for name, runs in by_contestant.items()}
    head = [f"seed {seed}" for seed in seeds] + (["mean"] if len(seeds) > 1 else [])
    return [*parts, f"Evaluated when training was done, millihartree above the {exact}:", _markdown(head, body)]


def _rungs(
    runs: Sequence[Outcome], rungs: Iterable[float], at: Callable[[Training, float, float], Value | None]
) -> list[str]:
    cells = []
    for rung in rungs:
        value = over_seeds([at(run.training, rung, run.exact) for run in runs])
        cells.append(NOTHING if value is None else value.text(len(runs)))
    return cells


def _pace(runs: Sequence[Outcome]) -> str:
    paces = [run.training.seconds_a_step for run in runs if run.training.steps]
    return f"{sum(paces) / len(paces):.3g}" if paces else NOTHING


def _finals(runs: Sequence[Outcome], seeds: Sequence[int]) -> list[str]:
    by_seed = {run.seed: run.short for run in runs}
    cells = [by_seed.get(seed, NOTHING) for seed in seeds]
    mean = over_seeds([run.final for run in runs])
    return cells + ([NOTHING if mean is None else mean.text(len(runs))] if len(seeds) > 1 else [])


def _markdown(head: Sequence[str], body: dict[str, list[str]]) -> str:
    """A table whose columns are aligned in the text, too."""
    lines = [["", *head], *([name, *cells] for name, cells in body.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = ["| " + " | ".join(f"{c:{w}}" for c, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]])


def _those(what: str, outcomes: Sequence[Outcome], state: str) -> str:
    """Runs in a state, seeds of one optimizer on one system together."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for outcome in outcomes:
        if outcome.state == state:
            seeds.setdefault((outcome.contestant, outcome.system), []).append(outcome.seed)
    names = [f"{name} on {system} ({', '.join(map(str, numbers))})" for (name, system), numbers in seeds.items()]
    return f"{what} (seeds): {', '.join(names)}." if names else ""


def _name(outcome: Outcome) -> str:
    return f"{outcome.contestant} on {outcome.system}, seed {outcome.seed}"


def _surroundings(versions: dict[str, str], cores: int) -> str:
    """Empty where a run has not come so far as to say."""
    if not versions:
        return ""
    names = {"adiabat": "adiabat", "jax": "JAX", "numpy": "NumPy", "python": "Python"}
    known = [f"{name} {versions[key]}" for key, name in names.items() if versions.get(key, "")[:1].isdigit()]
    return ", ".join([*known, f"{versions.get('devices', '?')} with {cores} cores"])
