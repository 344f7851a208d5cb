"""Whether the conserved quantity of molecular dynamics is conserved."""

from __future__ import annotations

import warnings
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from adiabat.engine import AbstractCallback, StopRun
from adiabat.errors import InputError

if TYPE_CHECKING:
    from adiabat.engine import Driver, MetricRow, Rows

__all__ = ["EnergyDriftMonitor"]

FS_PER_PS = 1000.0


@dataclass
class _Line:
    """The straight line of least squares through the points so far, energies counted from the first one."""

    reference: float
    n_atoms: int
    time: float = 0.0  # fs
    sums: np.ndarray = field(default_factory=lambda: np.zeros(5))  # 1, t, e, t t, t e

    def add(self, energy: float) -> None:
        t, e = self.time, energy - self.reference
        self.sums += (1.0, t, e, t * t, t * e)

    @property
    def drift(self) -> float:
        """Slope in eV per atom and ps."""
        n, t, e, tt, te = self.sums.tolist()
        spread = n * tt - t * t
        return FS_PER_PS * (n * te - t * e) / spread / self.n_atoms if spread > 0 else 0.0


class EnergyDriftMonitor(AbstractCallback):
    """Warns of systems whose `conserved` quantity drifts, or stops the run: the time step is too long, or the forces
    are not those of the energy.

    The drift is the slope of a straight line through the conserved quantity of a system since it entered its stage, so
    that fluctuations do not count. It belongs to the system's id: others that come and go do not change it. After a
    resumed run begins, lines begin anew. Stages without a conserved quantity are left alone.

    Args:
        threshold: eV per atom and ps.
        action: "warn" (a RuntimeWarning, once a system and stage) or "stop".
        warmup: steps of a system in its stage before it is judged; enough for many vibrations, whose phase would
            otherwise count.

    Raises:
        InputError: the threshold is not positive, or the action is another one.
    """

    def __init__(
        self, threshold: float = 1e-3, action: Literal["warn", "stop"] = "warn", *, warmup: int = 1000
    ) -> None:
        if not threshold > 0 or action not in ("warn", "stop") or warmup < 2:
            raise InputError(
                f"threshold is {threshold!r}, action {action!r} and warmup {warmup!r}; expected a positive number, "
                "'warn' or 'stop', and at least 2 steps"
            )
        self.threshold, self.action, self.warmup = threshold, action, warmup
        self._lines: dict[tuple[int, str], _Line] = {}
        self._told: set[tuple[int, str]] = set()
        self._driver: Any = lambda: None  # whose systems these are; weakly

    @property
    def drifts(self) -> dict[tuple[int, str], float]:
        """By system id and stage, in eV per atom and ps."""
        return {key: line.drift for key, line in self._lines.items()}

    def on_run_start(self, step: int, driver: Driver) -> None:
        """Other systems begin other lines."""
        del step
        if self._driver() is not driver:
            self._lines, self._told, self._driver = {}, set(), weakref.ref(driver)

    def on_rows(self, rows: Rows, driver: Driver) -> None:
        """Go on with the lines.

        Raises:
            StopRun: a system drifts, and that is to stop the run.
        """
        n_atoms = (np.asarray(driver.state.systems.numbers) > 0).sum(axis=1).tolist()
        dynamics = {sub.label: getattr(sub.stage, "dynamics", None) for sub in driver.stage.sub_stages}
        drifting = []
        for row in rows:
            energy, dt = row.get("conserved"), getattr(dynamics[row["stage"]], "dt", None)
            if energy is None or dt is None:
                continue
            key = (row.system_id, row["stage"])
            line = self._lines.setdefault(key, _Line(energy, n_atoms[row.slot]))
            line.time += _time_step(dt, row)
            line.add(energy)
            if line.sums[0] >= self.warmup and abs(line.drift) > self.threshold and key not in self._told:
                self._told.add(key)
                drifting.append(f"system {key[0]} in {key[1]} by {line.drift:.2g} eV per atom and ps")
        if drifting:
            self._tell(f"the conserved energy drifts: {'; '.join(drifting)} (limit {self.threshold:g})")

    def _tell(self, message: str) -> None:
        if self.action == "stop":
            raise StopRun(message)
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _time_step(dt: Any, row: MetricRow) -> float:
    """Length of the step of a row, in fs: a number, one number for each system, or a function of the step."""
    if callable(dt):
        return float(dt(np.int32(row["stage_step"])))
    return float(dt[row.system_id]) if isinstance(dt, tuple) else float(dt)
