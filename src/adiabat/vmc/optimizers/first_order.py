"""Adam and LAMB of Optax under their own names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from adiabat.config import setting
from adiabat.engine.schedules import Schedule, Standard
from adiabat.vmc.optimizers.optax_optimizer import OptaxOptimizer

FloatType = Literal["bfloat16", "float16", "float32", "float64"]


@dataclass(frozen=True)
class AdamOptimizer(OptaxOptimizer):
    """Adam: gradients scaled by running estimates of their first and second moments.

    Kingma and Ba, ICLR 2015 (arXiv:1412.6980), as implemented by Optax.
    """

    learning_rate: Schedule = setting(
        factory=lambda: Standard(rate=1e-3, delay=2000.0), kind="schedules", min=0, help="step size"
    )
    b1: Schedule = setting(0.9, kind="schedules", min=0, below=1, help="decay of the first moment")
    b2: Schedule = setting(0.999, kind="schedules", min=0, below=1, help="decay of the second moment")
    eps: Schedule = setting(1e-8, kind="schedules", above=0, help="added to the root of the second moment")
    eps_root: Schedule = setting(0.0, kind="schedules", min=0, help="added to the second moment below the root")
    nesterov: bool = setting(False, help="use Nesterov momentum")
    mu_dtype: FloatType | None = setting(None, help="precision of the first moment; null: that of the parameter")

    optax_name: ClassVar[str] = "adam"


@dataclass(frozen=True)
class LambOptimizer(OptaxOptimizer):
    """LAMB: updates of Adam, each array of parameters moved by a share of its own length.

    You et al., ICLR 2020 (arXiv:1904.00962), as implemented by Optax. Of the rates 0.0003, 0.001, 0.003 and 0.01 the
    third brought LiH lowest within 1000 steps of 256 walkers, as low as Adam with its default.
    """

    learning_rate: Schedule = setting(
        factory=lambda: Standard(rate=3e-3, delay=2000.0),
        kind="schedules",
        min=0,
        help="length of the update of an array, in units of the array's own",
    )
    b1: Schedule = setting(0.9, kind="schedules", min=0, below=1, help="decay of the first moment")
    b2: Schedule = setting(0.999, kind="schedules", min=0, below=1, help="decay of the second moment")
    eps: Schedule = setting(1e-6, kind="schedules", above=0, help="added to the root of the second moment")
    eps_root: Schedule = setting(0.0, kind="schedules", min=0, help="added to the second moment below the root")
    weight_decay: Schedule = setting(
        0.0, kind="schedules", min=0, help="share of the parameters subtracted, before an array's length is set"
    )
    mask: Callable[[Any], Any] | None = setting(
        None, help="of the parameters, returns True for those (or trees of those) that decay; null: all do"
    )

    optax_name: ClassVar[str] = "lamb"
