"""What an energy run takes by default."""

import pytest

from adiabat.electrons.energy_plan import small_optimizer
from adiabat.electrons.molecule_input import molecule_from


@pytest.mark.parametrize(
    ("molecule", "damping"), [("H2", 1e-3), ("Be", 1e-3), ("LiH", 1e-3), ("CH4", 1e-2 * (10 / 14) ** 2), ("N2", 1e-2)]
)
def test_more_electrons_have_more_damping_within_what_was_measured(molecule, damping):
    assert small_optimizer(molecule_from(molecule)).damping == pytest.approx(damping)


def test_small_networks_have_a_limit_in_both_lengths_of_an_update():
    optimizer = small_optimizer(molecule_from("N2"))
    assert optimizer.max_length == 0.05
    assert optimizer.max_norm == 0.3
