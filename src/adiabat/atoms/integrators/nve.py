"""Newton's equations."""

from __future__ import annotations

from dataclasses import dataclass

from adiabat.atoms.batch import Batch
from adiabat.atoms.integrators.molecular_dynamics import MolecularDynamics
from adiabat.atoms.motion import drift, kick
from adiabat.atoms.per_system import per_system


@dataclass(eq=False, kw_only=True, repr=False)
class NVE(MolecularDynamics):
    """Constant energy, by velocity Verlet: time-reversible, symplectic, of second order in dt.

    ::

        v += dt/2 F/m       kick
        x += dt v           drift
        F = F(x)
        v += dt/2 F/m       kick

    Swope, Andersen, Berens and Wilson, J. Chem. Phys. 76, 637 (1982). Conserved: ``E + K``.
    """

    def pre_update(self, batch: Batch) -> Batch:
        """Half a kick and the drift."""
        dt = per_system(self.dt, batch)
        return drift(kick(batch, 0.5 * dt), dt)

    def post_update(self, batch: Batch) -> Batch:
        """The other half of the kick, with the new forces."""
        return kick(batch, 0.5 * per_system(self.dt, batch))
