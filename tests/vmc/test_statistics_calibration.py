"""Laws of an honest error bar: it has the right size, and its intervals cover the truth as they claim."""

import numpy as np
import pytest
from scipy.signal import lfilter

from adiabat.vmc.statistics import Estimate, block_samples, estimate
from adiabat.vmc.statistics.estimate import _without_rhat


def autoregressive_chains(
    rng: np.random.Generator, n_trials: int, n_chains: int, n_steps: int, rho: float
) -> np.ndarray:
    """Stationary Gaussian AR(1) chains of mean 0 and variance 1, (trials, steps, chains)."""
    noise = rng.standard_normal((n_trials, n_steps, n_chains))
    noise[:, 1:] *= np.sqrt(1.0 - rho**2)  # the first step is drawn from equilibrium
    return lfilter([1.0], [1.0, -rho], noise, axis=1)


def true_error(n_chains: int, n_steps: int, rho: float) -> float:
    """Standard error of the mean of such chains."""
    lag = np.arange(1, n_steps)
    return float(np.sqrt((1.0 + 2.0 * ((1.0 - lag / n_steps) * rho**lag).sum()) / (n_steps * n_chains)))


def trials(n_trials: int, n_chains: int, n_steps: int, rho: float, drift: np.ndarray | float = 0.0) -> list[Estimate]:
    """What so many runs report: `estimate`, drift detection included, but R-hat, which is slow, left out."""
    rng = np.random.default_rng(20 + n_chains + n_steps)
    results = []
    for _ in range(n_trials // 100):
        chains = autoregressive_chains(rng, 100, n_chains, n_steps, rho) + drift
        results += [_without_rhat(block_samples(samples), detect_equilibration=True) for samples in chains]
    return results


@pytest.mark.parametrize(
    ("n_chains", "n_steps", "rho"),
    [
        (16, 63, 0.5),
        (16, 63, 0.9),
        (16, 512, 0.9),
        (64, 16, 0.9),
        (128, 8, 0.9),
        (1, 4096, 0.9),
        (2, 2000, 0.9),
        (4, 256, 0.95),
        (1024, 20, 0.7),
        (1, 100, 0.0),
        (2, 500, -0.5),
    ],
)
def test_errors_have_the_right_size_and_intervals_cover_the_truth(n_chains, n_steps, rho):
    results = trials(2000, n_chains, n_steps, rho)
    ratio = np.mean([r.error for r in results]) / true_error(n_chains, n_steps, rho)
    covered = np.mean([r.interval(0.95)[0] <= 0.0 <= r.interval(0.95)[1] for r in results])
    variance = np.mean([r.variance for r in results])

    assert 0.9 < ratio < 1.1
    assert 0.93 < covered < 0.97
    assert abs(variance - 1.0) < 0.02
    # Sampling that starts in equilibrium loses next to nothing to the search for a drift.
    assert np.mean([r.equilibration_steps for r in results]) < 0.01 * n_steps


@pytest.mark.parametrize(("n_chains", "n_steps", "rho"), [(16, 512, 0.9), (1, 4096, 0.5), (1024, 20, 0.7)])
def test_a_drift_is_found_and_dropped(n_chains, n_steps, rho):
    error = true_error(n_chains, n_steps, rho)
    decay = 0.05 * n_steps
    drift = 200.0 * error * np.exp(-np.arange(n_steps) / decay)[:, None]  # moves the mean by ten error bars
    results = trials(200, n_chains, n_steps, rho, drift)

    assert min(r.equilibration_steps for r in results) > 0
    assert np.mean([r.equilibration_steps for r in results]) < 0.4 * n_steps
    assert abs(np.mean([r.mean for r in results])) < 0.5 * error
    assert np.mean([r.interval(0.95)[0] <= 0.0 <= r.interval(0.95)[1] for r in results]) > 0.88


def test_a_drift_that_does_not_end_is_said():
    rng = np.random.default_rng(3)
    samples = autoregressive_chains(rng, 1, 64, 500, 0.5)[0] + np.linspace(0.0, 3.0, 500)[:, None]
    assert "drifts" in estimate(samples).note
