"""Pictures are drawn of whatever a run has left, and show where it went."""

import numpy as np
import pytest

from adiabat.report.plots import Smoothed, _energy_limits, plot_run

SUMMARY = {
    "name": "LiH",
    "energy": -8.0704,
    "energy_error": 2e-4,
    "hartree_fock_energy": -7.98737,
    "exact_energy": -8.070548,
}


def course(n: int, first: int = 0) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(n).standard_normal(n)
    step = np.arange(first, first + n, dtype=float)
    energy = -8.07 + 0.5 * np.exp(-step / 40.0) + 0.005 * noise
    return {"step": step, "energy": energy, "energy_variance": np.exp(noise), "acceptance": 0.5 + noise / 99}


@pytest.mark.parametrize(
    ("metrics", "summary"),
    [
        ({"train": course(300), "evaluate": course(100, 300)}, SUMMARY),
        ({"train": course(20000)}, {}),
        ({"train": course(1)}, {"energy": -1.0, "energy_error": None}),
        ({"pretrain": {"loss": np.ones(3)}, "train": {"energy": np.array([np.nan, -1.0])}}, {"name": "H"}),
        ({"evaluate": {"energy": np.full(9, -0.5), "energy_variance": np.zeros(9)}}, {"energy": -0.5}),
        ({}, SUMMARY),
    ],
    ids=["whole run", "long", "one step", "not finite", "exact", "nothing"],
)
def test_a_picture_is_drawn(tmp_path, metrics, summary):
    path = tmp_path / "training.png"
    plot_run(path, metrics, summary)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_wild_beginnings_do_not_set_the_scale():
    columns = course(1000)
    columns["energy"][:30] = np.geomspace(1e6, 1.0, 30)
    curve = Smoothed.of(columns["step"], columns["energy"])
    bottom, top = _energy_limits([curve], [-7.98737, -8.070548])
    assert -8.2 < bottom < -8.07
    assert -7.98 < top < -7.9


def test_the_median_follows_a_steep_beginning():
    step = np.arange(1000.0)
    curve = Smoothed.of(step, np.exp(-step / 10.0))
    assert curve.middle[0] == 1.0
    assert np.all(np.diff(curve.middle) <= 0.0)
