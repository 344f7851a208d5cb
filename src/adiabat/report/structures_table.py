"""What the table of a run of structures says: what became of them, how fast, and how full the slots were."""

from __future__ import annotations

from pathlib import Path

from adiabat.report.lines import Line, Summary, number, run_lines, seconds_by_stage
from adiabat.report.live_structures import compact

REMARKS = {
    "done": "",
    "unfinished": "not converged within their steps: see results.csv, give them more",
    "failed": "results.csv says why",
    "active": "under way when the run stopped",
    "queued": "not begun yet",
}


def structures_sections(summary: Summary, folder: Path | str | None) -> list[list[Line]]:
    """Outcomes, speed, and the run itself."""
    return [_outcomes(summary), _speed(summary), run_lines(summary, folder)]


def failures(summary: Summary) -> str:
    """What a run ends with if it did not do all that was asked of it: "of 100 structures 3 failed"; else nothing."""
    counts = summary.get("outcomes") or {}
    words = {"failed": "failed", "unfinished": "did not converge", "active": "are under way", "queued": "are waiting"}
    said = [f"{counts[name]} {word}" for name, word in words.items() if counts.get(name)]
    return f"of {sum(counts.values())} structures {', '.join(said)}" if said else ""


def _outcomes(summary: Summary) -> list[Line]:
    counts = summary.get("outcomes") or {}
    total = summary.get("structures")
    lines = [Line("potential", str(summary["potential"]))] if summary.get("potential") else []
    for name, remark in REMARKS.items():
        if counts.get(name) or (name == "done" and counts):
            lines.append(Line(name, f"{counts.get(name, 0)} of {total}", remark))
    lines += [Line("", f"structure {system}", reason) for system, reason in (summary.get("failures") or {}).items()]
    return lines


def _speed(summary: Summary) -> list[Line]:
    seconds = sum(value for name, value in seconds_by_stage(summary).items() if name != "compile")
    lines = []
    if (atom_steps := number(summary, "atom_steps")) and seconds:
        lines.append(Line("speed", f"{compact(atom_steps / seconds)} atom-steps/s", "compilation apart"))
    if (occupancy := number(summary, "occupancy")) is not None:
        sizes = [f"{bucket['n_slots']} of {bucket['n_slot_atoms']} atoms" for bucket in summary.get("buckets") or ()]
        lines.append(Line("slots", f"{100 * occupancy:.0f} % full", ", ".join(sizes)))
    return lines
