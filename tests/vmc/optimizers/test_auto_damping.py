"""Damping by what fresh walkers confirm, and what damping cannot be."""

import jax.numpy as jnp
import numpy as np
import pytest
from sr_problem import DAMPING, Problem, optimizer

from adiabat.errors import InputError
from adiabat.vmc.optimizers import AdamOptimizer, AutoDamping, Cosine, KFACOptimizer, Linear, SROptimizer, WarmUp

pytestmark = pytest.mark.usefixtures("x64")


def test_auto_damping_follows_the_trust_ratio():
    """The slope along the last direction, with today's walkers, over the slope it promised."""
    problem = Problem()
    auto = AutoDamping(start=DAMPING, factor=0.5, lowest=1e-5, highest=1.0)
    chosen = optimizer(problem.network, damping=auto)
    problem.previous *= np.sign(problem.scores() @ problem.previous @ problem.target())
    slope = problem.scores() @ problem.previous @ problem.target()
    before = chosen.init(problem.params).damping
    for promised, factor in [(slope, 0.5), (5 * slope, 1.0), (100 * slope, 2.0), (-slope, 1.0)]:
        last = jnp.float32(promised)
        _, state = problem.update(chosen, damping=before._replace(last=last))
        assert float(state.damping.damping) == pytest.approx(DAMPING * factor)
        if promised * slope > 0:
            assert float(state.diagnostics["trust_ratio"]) == pytest.approx(slope / promised, rel=1e-4)
    expected = problem.dense_direction(damping=DAMPING)
    now = problem.scores() @ expected @ problem.target()
    assert float(state.damping.last) == pytest.approx(now, rel=1e-4)
    _, state = problem.update(chosen)
    assert float(state.damping.damping) == pytest.approx(DAMPING)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "made",
    [
        lambda: SROptimizer(learning_rate=AutoDamping()),
        lambda: KFACOptimizer(norm_constraint=AutoDamping()),
        lambda: AdamOptimizer(AutoDamping()),
        lambda: WarmUp(10, then=AutoDamping()),
    ],
)
def test_auto_is_for_damping_only(made):
    with pytest.raises(InputError, match="expected a number or a schedule, got AutoDamping, which is neither"):
        made()


def test_numbers_of_auto_damping_agree_with_each_other():
    with pytest.raises(InputError, match=r"expected lowest <= start <= highest, got 0.01, 0.001 and 1"):
        AutoDamping(lowest=1e-2)
    with pytest.raises(InputError, match=r"expected doubt <= trust, got 0.5 and 0.3"):
        AutoDamping(doubt=0.5)


@pytest.mark.parametrize(
    "damping",
    [WarmUp(10, then=1e-3), Cosine(1e-3, steps=10), Linear(1e-3, 0.0, 10), WarmUp(10, then=Linear(1e-3, 0.0, 10))],
)
@pytest.mark.parametrize("optimizer", [SROptimizer, KFACOptimizer])
def test_damping_that_is_zero_at_some_step_is_refused(optimizer, damping):
    with pytest.raises(InputError, match="damping: expected a schedule of numbers > 0, but this one comes to 0"):
        optimizer(damping=damping)
    optimizer(damping=Cosine(1e-3, steps=10, final=1e-4))
