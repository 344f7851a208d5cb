"""What was asked of batched dynamics, and what the contest found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.dynamics import tasks
from bench.dynamics.contest import OURS, Record, ratio, take_turns
from bench.dynamics.environments import PEERS, version
from bench.dynamics.programs.served import Inputs
from bench.processes import scratch_folder
from bench.rows import Row

BOXES = "dynamics: 64 boxes of 32 atoms, NVE"
CLUSTERS = "dynamics: 200 clusters of 8 to 40 atoms relaxed by FIRE, in flight"
CRYSTAL = "dynamics: a crystal of {} atoms, NVE, cutoff 8.5 angstrom"

FIRST_STEPS = 5
STEPS_OF_BOXES = {"ase": 10, "torch_sim": 50, "nvalchemi": 100, "jax_md": 300, OURS: 1500}
STEPS_OF_CRYSTAL = {"ase": 10, "torch_sim": 20, "nvalchemi": 100, "jax_md": 100, OURS: 300}
IN_FLIGHT = ("ase", "torch_sim", "nvalchemi", OURS)

SAME_MOTION = 1e-6  # of kinetic energies, relative: programs differ in the last digits of the constants of nature
SAME_MINIMUM = 1e-9  # eV
SAME_BASIN = 1e-3  # eV, where a relaxation may end a few steps earlier or later


def measure(*, rounds: int = 5, patience: float = 60.0, quick: bool = False) -> list[Row]:
    """All three tasks.

    Parameters
    ----------
    rounds : int
        Turns that each program has, after the first, in which it begins with nothing.
    patience : float
        CPU seconds after which a program has no more turns in a task.
    quick : bool
        The small crystal only, and the clusters only once.
    """
    crystals = {2048: (8, 8, 8)} if quick else {2048: (8, 8, 8), 4000: (10, 10, 10)}
    with scratch_folder() as folder:
        rows = measure_boxes(folder, tasks.boxes(), STEPS_OF_BOXES, rounds, patience)
        rows += measure_clusters(folder, tasks.clusters(), IN_FLIGHT, 2 if quick else rounds, patience, vary=not quick)
        for n_atoms, repeats in crystals.items():
            rows += measure_crystal(folder, tasks.crystal(repeats), STEPS_OF_CRYSTAL, rounds, patience, n_atoms)
    return rows


def measure_boxes(folder: Path, inputs: Inputs, steps: Mapping[str, int], rounds: int, patience: float) -> list[Row]:
    """Steps of the whole batch a second."""
    records = _contest(folder, "boxes", inputs, steps, rounds, patience)
    rows = [_pace_row(BOXES, name, record, 1.0, "steps/s", records) for name, record in records.items()]
    return [*rows, *_ratios(BOXES, records, {"torch_sim": (12, 30), "jax_md": (3, 10)})]


def measure_crystal(
    folder: Path, inputs: Inputs, steps: Mapping[str, int], rounds: int, patience: float, n_atoms: int
) -> list[Row]:
    """Thousands of atoms moved by a step in a second."""
    group = CRYSTAL.format(n_atoms)
    records = _contest(folder, "crystal", inputs, steps, rounds, patience)
    rows = [_pace_row(group, name, record, n_atoms / 1e3, "k/s", records) for name, record in records.items()]
    return [*rows, *_ratios(group, records, {"jax_md": (4, 9)})]


def measure_clusters(
    folder: Path, inputs: Inputs, programs: tuple[str, ...], rounds: int, patience: float, *, vary: bool
) -> list[Row]:
    """Seconds for all of them; whether each ends where ASE ends; and that with other slots and in another order."""
    records = _contest(folder, "clusters", inputs, dict.fromkeys(programs, 1), rounds, patience)
    rows = []
    for name, record in records.items():
        cold = f"{record.first['seconds']:.3g} s with compiling; " if record.first and len(record.seconds) else ""
        remark = f"{cold}{_minima(inputs, record, records)}{_counts(record)}"
        rows.append(_row(CLUSTERS, name, record, lambda record: record.pace, "s", remark))
    rows += _ratios(CLUSTERS, records, {"torch_sim": (10, 30)})
    ours, theirs = records[OURS].first, records.get("torch_sim", Record()).first
    if ours and theirs:
        rows.append(
            Row(CLUSTERS, "times TorchSim, all compiled anew", theirs["seconds"] / ours["seconds"], "", floor=4)
        )
    if ours:
        rows.append(
            Row(CLUSTERS, "programs that adiabat compiled", ours["programs"], "", 3, _counts(records[OURS])[2:])
        )
    for slots, order in ((32, 0), (16, 1), (64, 2)) if vary else ((32, 0),):
        rows += _same_minima(folder, inputs, records, slots, order)
    return rows


def _contest(
    folder: Path, task: str, inputs: Inputs, steps: Mapping[str, int], rounds: int, patience: float
) -> dict[str, Record]:
    file = folder / f"{task}-{len(inputs.positions)}.npz"
    tasks.write(inputs, file)
    first = 1 if task == "clusters" else FIRST_STEPS
    return take_turns(task, file, folder, steps, first_steps=first, rounds=rounds, patience=patience)


# --- rows ---------------------------------------------------------------------------------------------------


def _row(group: str, name: str, record: Record, value: object, unit: str, remark: str, failure: str = "") -> Row:
    title = OURS if name == OURS else f"{PEERS[name].title} {version(name)}"
    if not record.first:
        # A program that is not to be had is no fault of adiabat's.
        failure = record.problem if name == OURS else ""
        return Row(group, title, math.nan, unit, remark=f"left out: {record.problem}", failure=failure)
    if record.problem:
        remark = f"{remark}; ended: {record.problem}"
    return Row(group, title, value(record), unit, remark=remark, failure=failure)  # type: ignore[operator]


def _pace_row(group: str, name: str, record: Record, size: float, unit: str, records: Mapping[str, Record]) -> Row:
    """`size` things done in a step; whether the motion is that of ASE."""
    reference, remark, failure = records.get("ase"), "", ""
    if record.first:
        spread = [size / seconds for seconds in record.seconds.values()]
        remark = f"{min(spread):.3g} to {max(spread):.3g}" if len(spread) > 1 else ""
        remark += f"; begins in {record.first['seconds']:.3g} s{_counts(record)}"
        if reference is not None and reference.first and name != "ase":
            apart = np.array(record.first["kinetic"]) / np.array(reference.first["kinetic"]) - 1
            worst = float(np.abs(apart).max())
            remark += f"; unlike ASE's by {worst:.0e}"
            failure = "another motion than ASE's" if name == OURS and not worst <= SAME_MOTION else ""
    return _row(group, name, record, lambda record: size / record.pace, unit, remark, failure)


def _counts(record: Record) -> str:
    names = {"programs": "programs compiled", "builds": "lists built", "compilations": "compilations of XLA in all"}
    found = [f"{record.last[key]} {name}" for key, name in names.items() if record.last.get(key) is not None]
    if "occupancy" in record.last:
        found.append(f"slots occupied {100 * record.last['occupancy']:.0f} %")
    return "".join(f"; {text}" for text in found)


def _ratios(group: str, records: Mapping[str, Record], asked: Mapping[str, tuple[float, float]]) -> list[Row]:
    """How many times as long as adiabat each peer takes; `asked`: at least, and what is aimed at."""
    if not records[OURS].first:
        return []
    rows = []
    for name, record in records.items():
        if name != OURS and record.first:
            floor, aim = asked.get(name, (None, None))
            remark = "" if aim is None else f"aim {aim}"
            rows.append(Row(group, f"times {PEERS[name].title}", ratio(records, name), "", remark=remark, floor=floor))
    return rows


# --- minima -------------------------------------------------------------------------------------------------


def _agreeing(inputs: Inputs, record: Record, reference: Record, apart: float = SAME_MINIMUM) -> int:
    found, expected = (tasks.energies(inputs, np.array(each.first["positions"])) for each in (record, reference))
    return int((np.abs(found - expected) <= apart).sum())


def _minima(inputs: Inputs, record: Record, records: Mapping[str, Record]) -> str:
    reference = records.get("ase")
    if not record.first or reference is None or not reference.first or record is reference:
        return ""
    return f"{_agreeing(inputs, record, reference, SAME_BASIN)} within 1 meV of ASE's minima"


def _same_minima(folder: Path, inputs: Inputs, records: Mapping[str, Record], slots: int, order: int) -> list[Row]:
    """How many minima are those of ASE with so many slots, given in another order."""
    reference = records.get("ase")
    if reference is None or not reference.first:
        return []
    file = folder / f"clusters-{len(inputs.positions)}.npz"
    again = records[OURS]
    if (slots, order) != (32, 0):
        again = take_turns(
            "clusters", file, folder, {OURS: 1}, first_steps=1, rounds=0, patience=0.0,
            options={"slots": slots, "order": order},
        )[OURS]  # fmt: skip
    what = f"minima of ASE, {slots} slots, {'shuffled' if order else 'in order'}"
    if not again.first:
        return [Row(CLUSTERS, what, math.nan, "", failure=again.problem)]
    remark = f"of {len(inputs.sizes)}, to {SAME_MINIMUM:g} eV"
    return [Row(CLUSTERS, what, _agreeing(inputs, again, reference), "", remark=remark, floor=len(inputs.sizes))]
