"""What the table of an energy run says: the energy, what to compare it with, and how far to trust it."""

from __future__ import annotations

from pathlib import Path

from adiabat.report.lines import Line, Summary, number, or_nan, run_lines
from adiabat.vmc.statistics import format_with_error

# Beyond this R-hat walkers have visibly not forgotten where they started. (Vehtari et al. warn from 1.01
# on, which chains of fewer than a hundred independent samples exceed by chance.)
MIXED = 1.05

# A variational energy this many error bars below the exact one is not luck.
TOO_LOW = 4.0


def energy_sections(summary: Summary, folder: Path | str | None) -> list[list[Line]]:
    """Energies, sampling, and the run itself."""
    return [_energies(summary), _sampling(summary), run_lines(summary, folder)]


def _energies(summary: Summary) -> list[Line]:
    unit = str(summary.get("unit", "hartree"))
    energy, error = number(summary, "energy"), number(summary, "energy_error")
    hartree_fock, exact = number(summary, "hartree_fock_energy"), number(summary, "exact_energy")
    estimate = bool(summary.get("exact_is_estimate"))
    lines = []
    if energy is not None:
        note = str(summary.get("note") or "")
        lines.append(Line("energy", f"{format_with_error(energy, or_nan(error))} {unit}", note))
    if hartree_fock is not None:
        lines.append(Line("Hartree-Fock", f"{hartree_fock:.6f} {unit}"))
    if energy is not None and hartree_fock is not None:
        correlation = format_with_error(hartree_fock - energy, or_nan(error))
        share = _share(energy, number(summary, "hartree_fock_limit"), exact, estimate)
        lines.append(Line("below Hartree-Fock", f"{correlation} {unit}", share))
    if exact is not None:
        label = "best estimate" if estimate else "exact"
        lines.append(Line(label, f"{exact:.6f} {unit}", str(summary.get("exact_source") or "")))
    if energy is not None and exact is not None:
        lines.append(_comparison(energy, or_nan(error), exact, unit, estimate))
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
    if (variance := number(summary, "energy_variance")) is not None:
        lines.append(Line("variance", f"{variance:.3g} {unit}^2"))
    if (time := number(summary, "autocorrelation_time")) is not None:
        samples = number(summary, "effective_samples")
        remark = "" if samples is None else f"{samples:.3g} independent samples"
        lines.append(Line("autocorrelation time", f"{time:.3g} steps", remark))
    if (rhat := number(summary, "split_rhat")) is not None:
        remark = "the walkers have not mixed yet: run longer" if rhat > MIXED else ""
        lines.append(Line("R-hat", f"{rhat:.4f}", remark))
    if (acceptance := number(summary, "acceptance")) is not None:
        lines.append(Line("acceptance", f"{100.0 * acceptance:.1f} %"))
    if lost := number(summary, "nonfinite"):
        lines.append(Line("walkers lost", f"{lost:.0f}", "non-finite local energies"))
    if fallbacks := number(summary, "solver_fallbacks"):
        remark = "ill-conditioned steps: raise the damping, or cg_iterations"
        lines.append(Line("solver fell back", f"{fallbacks:.0f} times", remark))
    return lines
