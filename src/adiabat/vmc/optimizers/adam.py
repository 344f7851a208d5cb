"""First-order optimizers of Optax under their own names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adiabat.config import check_settings, setting
from adiabat.vmc.optimizers.schedules import Schedule, Standard, at

PyTree = Any


@dataclass(frozen=True)
class AdamOptimizer:
    """Adam: gradients scaled by running estimates of their first and second moments.

    Kingma and Ba, ICLR 2015 (arXiv:1412.6980), as implemented by Optax.
    """

    learning_rate: Schedule = setting(
        factory=lambda: Standard(rate=1e-3, delay=2000.0), kind="schedules", help="step size"
    )
    b1: float = setting(0.9, min=0, below=1, help="decay of the first moment")
    b2: float = setting(0.999, min=0, below=1, help="decay of the second moment")
    eps: float = setting(1e-8, above=0, help="added to the root of the second moment")
    eps_root: float = setting(0.0, min=0, help="added to the second moment below the root")
    nesterov: bool = setting(False, help="use Nesterov momentum")

    def __post_init__(self) -> None:
        check_settings(self)

    def _transformation(self) -> Any:
        import optax

        return optax.adam(
            lambda step: at(self.learning_rate, step),
            b1=self.b1,
            b2=self.b2,
            eps=self.eps,
            eps_root=self.eps_root,
            nesterov=self.nesterov,
        )

    def init(self, params: PyTree, **kwargs: Any) -> Any:
        """State before the first update."""
        del kwargs
        return self._transformation().init(params)

    def update(self, grads: PyTree, state: Any, params: PyTree, **kwargs: Any) -> tuple[PyTree, Any]:
        """Update to add to the parameters."""
        del kwargs
        return self._transformation().update(grads, state, params)
