"""What became of every structure: results.csv, final.extxyz, the numbers of the summary, and the same in Python."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from adiabat.atoms.ase_conversion import extxyz_text, to_ase
from adiabat.atoms.atomic_data import AtomicData
from adiabat.atoms.runs.structure_set import StructureSet
from adiabat.atoms.sinks import Sink
from adiabat.engine import Ledger, Outcome
from adiabat.errors import InputError
from adiabat.io.atomic import atomic_file, output_errors, write_text

__all__ = ["COLUMNS", "StructuresResult", "gathered", "read_results", "write_results"]

COLUMNS = ("system_id", "source", "outcome", "reason", "stage", "steps", "energy", "fmax")


@dataclass(frozen=True, eq=False)
class StructuresResult:
    """What became of n structures, in the order in which they were given.

    Attributes
    ----------
    rows : list of dict
        One a structure, with the columns of ``results.csv``; energy in eV and fmax in eV/angstrom are None where
        nothing was computed.
    structures : list of AtomicData or None
        As they ended; None for those that never began, or have not ended yet.
    summary : dict
        Contents of ``summary.json``.
    folder : pathlib.Path or None
        The run folder, if it was kept.
    """

    rows: list[dict[str, Any]]
    structures: list[AtomicData | None]
    summary: dict[str, Any]
    folder: Path | None

    @property
    def energies(self) -> Float[np.ndarray, " n"]:
        """In eV; nan where nothing was computed."""
        return np.array([np.nan if row["energy"] is None else row["energy"] for row in self.rows])

    @property
    def fmax(self) -> Float[np.ndarray, " n"]:
        """The largest forces in eV/angstrom; nan where nothing was computed."""
        return np.array([np.nan if row["fmax"] is None else row["fmax"] for row in self.rows])

    @property
    def steps(self) -> Int[np.ndarray, " n"]:
        """Steps that each structure took."""
        return np.array([row["steps"] for row in self.rows], np.int64)

    @property
    def outcomes(self) -> list[str]:
        """done, unfinished, failed, or, in a run that was stopped, active and queued."""
        return [row["outcome"] for row in self.rows]

    def to_ase(self) -> list[Any]:
        """The structures that ended as ASE's Atoms."""
        return [to_ase(data) for data in self.structures if data is not None]

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in self.summary["outcomes"].items() if n)
        return f"StructuresResult({len(self.rows)} structures: {counts})"


def gathered(
    structures: StructureSet, ledger: Ledger, sink: Sink, under_way: Mapping[int, tuple[int, str]]
) -> tuple[list[dict[str, Any]], list[AtomicData | None]]:
    """Rows and final structures in input order, from what the ledger knows and the sink holds; steps and stage of those
    who are `under_way`, by their index."""
    there = {data.system_id: data for data in sink}
    rows, final = [], []
    for index in range(len(structures)):
        data = there.get(index)
        # Of a run that was cut off between a delivery and the next checkpoint, the ledger has the say.
        closed = ledger.outcome[index] in (Outcome.DONE, Outcome.UNFINISHED, Outcome.FAILED)
        data = data if closed else None
        ended = int(ledger.steps[index]), ledger.stage(index)
        steps, stage = ended if closed else under_way.get(index, (0, ""))
        rows.append(
            {
                "system_id": index,
                "source": structures.source(index),
                "outcome": str(Outcome(int(ledger.outcome[index]))),
                "reason": ledger.reason(index),
                "stage": stage,
                "steps": steps,
                "energy": None if data is None else data.energy,
                "fmax": None if data is None else data.info.get("fmax"),
            }
        )
        final.append(None if data is None else _with_inputs(data, structures.inputs[index]))
    return rows, final


def write_results(folder: Path, rows: Sequence[Mapping[str, Any]], final: Sequence[AtomicData | None]) -> None:
    """Write results.csv and final.extxyz, each whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row[name] is None else _word(row[name]) for name in COLUMNS} for row in rows)
    path = folder / "final.extxyz"
    with output_errors(folder):
        write_text(folder / "results.csv", text.getvalue())
        with atomic_file(path) as file:
            for frame in _frames(rows, final):
                file.write(frame.encode())


def read_results(folder: Path) -> list[dict[str, str]]:
    """The rows of results.csv, as text.

    Raises
    ------
    InputError
        There is no such file, or it is none of ours.
    """
    path = folder / "results.csv"
    if not path.is_file():
        raise InputError(f"{folder} has no results.csv; expected the folder of a run of structures")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and set(rows[0]) != set(COLUMNS):
        raise InputError(f"{path} has the columns {', '.join(rows[0])}; expected {', '.join(COLUMNS)}")
    return rows


def _frames(rows: Sequence[Mapping[str, Any]], final: Sequence[AtomicData | None]) -> Iterator[str]:
    for row, data in zip(rows, final, strict=True):
        if data is not None:
            said = {name: row[name] for name in COLUMNS if name != "energy" and row[name] not in (None, "")}
            yield extxyz_text(data, said)


def _with_inputs(data: AtomicData, given: AtomicData) -> AtomicData:
    """The final structure with what the input said of it besides."""
    kept = {name: value for name, value in given.info.items() if name not in ("source", "frame")}
    return data.replace(
        atom_fields={**given.atom_fields, **data.atom_fields},
        system_fields={**given.system_fields, **data.system_fields},
        info=kept,
        status=None,
    )


def _word(value: Any) -> Any:
    """Numbers so that they read back to the bit."""
    return repr(float(value)) if isinstance(value, float) else value
