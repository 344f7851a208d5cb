"""The table a run ends with: the energy, what to compare it with, and how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from adiabat.vmc.statistics import format_with_error

Summary = Mapping[str, Any]
"""The contents of a run's ``summary.json``; whatever is missing is left out of the table."""

# Beyond this R-hat walkers have visibly not forgotten where they started. (Vehtari et al. warn from 1.01
# on, which chains of fewer than a hundred independent samples exceed by chance.)
MIXED = 1.05

# A variational energy this many error bars below the exact one is not luck.
TOO_LOW = 4.0


class Line(NamedTuple):
    """A line of the table: what, how much, and a remark."""

    label: str
    value: str
    remark: str = ""


def print_table(summary: Summary, folder: Path | str | None = None, console: Any = None) -> None:
    """Print the table: framed on a terminal, as plain aligned text elsewhere.

    Parameters
    ----------
    summary : mapping
        The contents of ``summary.json``.
    folder : path, optional
        The run folder, named in the last line.
    console : rich.console.Console, optional
        Where to print; standard output by default.
    """
    from rich.console import Console

    console = console or Console()
    if not console.is_terminal:
        print(format_table(summary, folder), file=console.file)
        return

    from rich import box
    from rich.table import Table

    table = Table(title=_title(summary), title_style="bold", box=box.HORIZONTALS, show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="left", overflow="fold")
    table.add_column(style="dim", overflow="fold")
    for section in _sections(summary, folder):
        for line in section:
            table.add_row(*line, style="bold" if line.label == "energy" else None)
        table.add_section()
    console.print(table, highlight=False)


def format_table(summary: Summary, folder: Path | str | None = None) -> str:
    """The table as plain text."""
    sections = _sections(summary, folder)
    lines = [line for section in sections for line in section]
    labels = max((len(line.label) for line in lines), default=0)
    values = max((len(line.value) for line in lines if line.remark), default=0)
    text = [_title(summary)]
    for section in sections:
        text.append("")
        text += [f"  {line.label:{labels}}  {line.value:{values}}  {line.remark}".rstrip() for line in section]
    return "\n".join(text)


def _title(summary: Summary) -> str:
    name, status = summary.get("name", "energy"), summary.get("status", "finished")
    reason = f": {summary['reason']}" if summary.get("reason") else ""
    return f"{name}" if status == "finished" else f"{name}, {status}{reason}"


def _sections(summary: Summary, folder: Path | str | None) -> list[list[Line]]:
    sections = [_energies(summary), _sampling(summary), _run(summary, folder)]
    return [section for section in sections if section]


def _energies(summary: Summary) -> list[Line]:
    unit = str(summary.get("unit", "hartree"))
    energy, error = _number(summary, "energy"), _number(summary, "energy_error")
    hartree_fock, exact = _number(summary, "hartree_fock_energy"), _number(summary, "exact_energy")
    estimate = bool(summary.get("exact_is_estimate"))
    lines = []
    if energy is not None:
        note = str(summary.get("note") or "")
        lines.append(Line("energy", f"{format_with_error(energy, _or_nan(error))} {unit}", note))
    if hartree_fock is not None:
        lines.append(Line("Hartree-Fock", f"{hartree_fock:.6f} {unit}"))
    if energy is not None and hartree_fock is not None:
        correlation = format_with_error(hartree_fock - energy, _or_nan(error))
        share = _share(energy, _number(summary, "hartree_fock_limit"), exact, estimate)
        lines.append(Line("below Hartree-Fock", f"{correlation} {unit}", share))
    if exact is not None:
        label = "best estimate" if estimate else "exact"
        lines.append(Line(label, f"{exact:.6f} {unit}", str(summary.get("exact_source") or "")))
    if energy is not None and exact is not None:
        lines.append(_comparison(energy, _or_nan(error), exact, unit, estimate))
    return lines


def _share(energy: float, limit: float | None, exact: float | None, estimate: bool) -> str:
    """Which share of the correlation energy, which begins at the basis-set limit of Hartree-Fock, was found.

    Nothing where that limit is not known, and for one electron, which has no correlation.
    """
    if exact is None or limit is None or limit - exact < 1e-5:
        return ""
    whole = "estimated" if estimate else "exact"
    return f"{100.0 * (limit - energy) / (limit - exact):.1f} % of the {whole} correlation energy"


def _comparison(energy: float, error: float, exact: float, unit: str, estimate: bool) -> Line:
    difference = energy - exact
    label = f"{'above' if difference >= 0.0 else 'below'} {'estimate' if estimate else 'exact'}"
    value = f"{format_with_error(1e3 * abs(difference), 1e3 * error)} milli{unit}"
    if not error > 0.0:
        return Line(label, value)
    sigmas = abs(difference) / error
    remark = f"{sigmas:.1f} sigma"
    if difference < 0.0 and sigmas > TOO_LOW and not estimate:
        remark += ": lower than a variational energy can be, do not trust it"
    return Line(label, value, remark)


def _sampling(summary: Summary) -> list[Line]:
    unit = str(summary.get("unit", "hartree"))
    lines = []
    if (variance := _number(summary, "energy_variance")) is not None:
        lines.append(Line("variance", f"{variance:.3g} {unit}^2"))
    if (time := _number(summary, "autocorrelation_time")) is not None:
        samples = _number(summary, "effective_samples")
        remark = "" if samples is None else f"{samples:.3g} independent samples"
        lines.append(Line("autocorrelation time", f"{time:.3g} steps", remark))
    if (rhat := _number(summary, "split_rhat")) is not None:
        remark = "the walkers have not mixed yet: run longer" if rhat > MIXED else ""
        lines.append(Line("R-hat", f"{rhat:.4f}", remark))
    if (acceptance := _number(summary, "acceptance")) is not None:
        lines.append(Line("acceptance", f"{100.0 * acceptance:.1f} %"))
    if lost := _number(summary, "nonfinite"):
        lines.append(Line("walkers lost", f"{lost:.0f}", "non-finite local energies"))
    if fallbacks := _number(summary, "solver_fallbacks"):
        remark = "ill-conditioned steps: raise the damping, or cg_iterations"
        lines.append(Line("solver fell back", f"{fallbacks:.0f} times", remark))
    return lines


def _run(summary: Summary, folder: Path | str | None) -> list[Line]:
    lines = []
    if steps := summary.get("steps"):
        by_stage = steps if isinstance(steps, Mapping) else {"": steps}
        dropped = _number(summary, "equilibration_steps")
        remark = f"{dropped:.0f} of the last stage left out: not in equilibrium" if dropped else ""
        lines.append(Line("steps", ", ".join(f"{name} {n}".strip() for name, n in by_stage.items()), remark))
    if seconds := _seconds(summary):
        shares = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        lines.append(Line("seconds", f"{sum(seconds.values()):.1f}", shares))
    lines += [Line(key, str(summary[key])) for key in ("walkers", "seed") if summary.get(key) is not None]
    if folder is not None:
        lines.append(Line("folder", str(folder)))
    return lines


def _seconds(summary: Summary) -> dict[str, float]:
    """Seconds by stage in the order of the run, with all compilation last.

    Compilation is ``seconds["compile"]`` or ``compiling``, a number or again by stage.
    """
    seconds = summary.get("seconds") or {}
    if not isinstance(seconds, Mapping):
        return {"all": float(seconds)}
    by_stage = {str(name): float(value) for name, value in seconds.items() if name != "compile" and value}
    compiling = [part for part in (seconds.get("compile"), summary.get("compiling")) if part]
    total = sum(sum(part.values()) if isinstance(part, Mapping) else float(part) for part in compiling)
    return {**by_stage, "compile": total} if total else by_stage


def _number(summary: Summary, key: str) -> float | None:
    """A number of the summary; None for what is missing, null or NaN."""
    value = summary.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
