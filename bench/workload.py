"""Training as the step cost is measured on: the published network on a molecule of four electrons."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from adiabat.config import ConfigManager, from_keywords
from adiabat.electrons.energy_plan import EnergyPlan, plan_energy
from adiabat.engine import Driver


@dataclass(frozen=True)
class Workload:
    """What is trained: FermiNet of 4 x 256 / 32 with 16 determinants, LiH, 256 walkers, 10 moves a step.

    Parameters
    ----------
    settings : mapping
        Of the network, beyond its kind.
    """

    network: str = "ferminet"
    walkers: int = 256
    molecule: str = "LiH"
    settings: Mapping[str, Any] = field(default_factory=lambda: {"size": "default"})

    def plan(self, optimizer: str) -> EnergyPlan:
        """All parts of such a run; parameters are drawn at random, which costs a step nothing."""
        wavefunction = {"kind": self.network, "start": "random", **self.settings}
        train = {"optimizer": optimizer, "iterations": 20_000}
        keywords = from_keywords(walkers=self.walkers, wavefunction=wavefunction, train=train)
        return plan_energy(ConfigManager([keywords]), self.molecule)

    def driver(self, optimizer: str) -> Driver:
        """Training alone, as a run does it."""
        plan = self.plan(optimizer)
        return Driver(plan.train, seed=plan.seed, systems=plan.systems(None), mesh=plan.mesh)

    def as_json(self) -> str:
        """For a process of its own."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Workload:
        """What `as_json` gave."""
        return Workload(**json.loads(text))
