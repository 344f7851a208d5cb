"""What happens to every system, step by step, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from adiabat.atoms.hooks.file_hook import FileHook
from adiabat.errors import InputError
from adiabat.io.writers import CSVWriter, HDF5Writer, JSONLinesWriter, RowWriter

if TYPE_CHECKING:
    from adiabat.engine import Driver, MetricRow, Rows

__all__ = ["LoggingHook"]

KINDS: dict[str, type[RowWriter]] = {kind.suffix: kind for kind in (CSVWriter, JSONLinesWriter, HDF5Writer)}
NOT_MEASURED = ("step", "stage", "stage_step", "system", "attempt", "seconds")
ALL = 2**62  # a step that no row has reached


class LoggingHook(FileHook):
    """A row for each system and logged step: `step` (of the run), `system_id`, `system_step` (its own), `stage`,
    `energy` in eV, `fmax` in eV/angstrom, and what the dynamics observes: `temperature` in K, `conserved` in eV, ...

    A row of `system_step` n is of the state after n steps, the same as the frame n of a `TrajectoryWriter`. Registered
    at a sub-stage it logs the steps of that sub-stage. It costs no stop of the compiled program.

    Args:
        path: a CSV file; JSON lines or HDF5 if it ends in .jsonl or .h5.
        frequency: every so many steps of a system, and the last one.
        columns: what to log after `stage`; all that there is by default.

    Raises:
        InputError: the frequency is no positive integer, or the file is of another kind.
    """

    def __init__(self, path: str | Path, frequency: int = 1, columns: Sequence[str] | None = None) -> None:
        super().__init__(path, frequency)
        if self.path.suffix not in KINDS:
            raise InputError(f"'{path}' is no file for a log; expected one that ends in {', '.join(KINDS)}")
        self.columns = None if columns is None else tuple(columns)
        self._writer: RowWriter | None = None

    def rows_due(self, own_steps: Int[np.ndarray, "n S"], newest: Bool[np.ndarray, "n S"]) -> Bool[np.ndarray, "n S"]:
        """Every `frequency` steps of a system, and the last one, which may be that at which it ends."""
        return (own_steps % self.frequency == 0) | newest

    def on_rows(self, rows: Rows, driver: Driver) -> None:
        """Write those that are due."""
        due = [row for row in rows if row.system_step % self.frequency == 0 or self._ended(row, driver)]
        if due and self._writer is not None:
            self._writer.write([self._line(row) for row in due])

    def _line(self, row: MetricRow) -> dict[str, Any]:
        names = self.columns or [name for name in row if name not in NOT_MEASURED]
        place = {"step": row["step"] + 1, "system_id": row.system_id, "system_step": row.system_step}
        return {**place, "stage": row["stage"], **{name: row[name] for name in names if name in row}}

    def _open(self, resume_step: int | None, driver: Driver) -> None:
        del driver
        self._writer = KINDS[self.path.suffix](self.path)
        self._writer.open(ALL if resume_step is None else resume_step + 1)

    def _sync(self) -> None:
        if self._writer is not None:
            self._writer.sync()

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
