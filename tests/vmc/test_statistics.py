"""Estimates from samples at hand: single numbers against formulas, and what is said of bad samples."""

import numpy as np
import pytest

from adiabat.vmc.statistics import Estimate, chain_error, estimate, format_with_error, split_rhat


def normal(n_steps: int, n_chains: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_steps, n_chains))


def test_many_chains_have_the_error_of_their_means():
    chains = np.cumsum(normal(20, 100), axis=0)  # as correlated as can be
    error, degrees_of_freedom = chain_error(chains)
    assert error == pytest.approx(chains.mean(axis=0).std(ddof=1) / 10.0, rel=1e-12)
    assert degrees_of_freedom == 99.0


def test_one_step_of_many_walkers_is_the_textbook_case():
    samples = normal(1, 4096)
    result = estimate(samples)
    assert result.mean == pytest.approx(samples.mean(), abs=1e-15)
    assert result.variance == pytest.approx(samples.var(ddof=1), rel=1e-12)
    assert result.error == pytest.approx(samples.std(ddof=1) / 64.0, rel=1e-12)
    assert result.autocorrelation_time == pytest.approx(1.0, rel=1e-12)
    assert result.effective_samples == pytest.approx(4096.0, rel=1e-12)


def test_variance_of_single_precision_energies_at_minus_1000_hartree():
    """The difference of mean squares gives 0 for these 4096 walkers (pitfall C7)."""
    samples = (-1000.0 + np.sqrt(0.009951) * normal(1, 4096)).astype(np.float32)
    result = estimate(samples)
    assert result.variance == pytest.approx(samples.astype(np.float64).var(ddof=1), rel=1e-9)
    assert result.variance == pytest.approx(0.009951, rel=0.1)


def test_autocorrelation_time_counts_steps_per_independent_sample():
    """Each value repeated five times: one in five is new."""
    samples = np.repeat(normal(2000, 8), 5, axis=0)
    result = estimate(samples)
    assert result.autocorrelation_time == pytest.approx(5.0, rel=0.2)
    assert result.effective_samples == pytest.approx(16000.0, rel=0.2)
    assert result.error**2 == pytest.approx(result.variance / result.effective_samples, rel=1e-12)


def test_stuck_chains_show_in_the_error_and_in_rhat():
    """Four chains that each sit in a place of their own: one sample each, however long they are."""
    places = np.array([-1.0, 0.0, 0.5, 2.0])
    result = estimate(places + 0.01 * normal(1000, 4))
    assert result.error == pytest.approx(places.std(ddof=1) / 2.0, rel=0.05)
    assert result.degrees_of_freedom == pytest.approx(3.0, rel=0.05)
    assert result.split_rhat > 2.0


def test_rhat_of_good_chains_is_one():
    assert estimate(normal(1000, 8)).split_rhat == pytest.approx(1.0, abs=0.005)


def test_rhat_sees_chains_of_different_width():
    samples = normal(1000, 4) * np.array([1.0, 1.0, 1.0, 5.0])
    assert split_rhat(samples) > 1.1


def test_zero_variance():
    result = estimate(np.full((300, 4), -0.5))
    assert (result.mean, result.error, result.variance) == (-0.5, 0.0, 0.0)
    assert (result.autocorrelation_time, result.split_rhat, result.note) == (1.0, 1.0, "")
    assert result.interval() == (-0.5, -0.5)
    assert str(result) == "-0.5(0)"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_samples_are_counted_and_not_left_out(bad):
    samples = normal(1000, 4)
    samples[500, 1] = samples[501, 2] = bad
    result = estimate(samples)
    assert np.isnan([result.mean, result.error, result.variance, result.split_rhat]).all()
    assert result.nonfinite == 2
    assert result.note == "2 of 4000 samples are not finite"


@pytest.mark.parametrize(("n_steps", "reason"), [(1, "only one sample"), (5, "too short")])
def test_no_error_is_better_than_a_wrong_one(n_steps, reason):
    result = estimate(normal(n_steps, 1))
    assert np.isfinite(result.mean)
    assert np.isnan([result.error, result.degrees_of_freedom, result.interval()[0]]).all()
    assert reason in result.note


@pytest.mark.parametrize("samples", [np.zeros(5), np.zeros((0, 3)), np.zeros((4, 2), complex)])
def test_what_is_no_set_of_chains_is_refused(samples):
    with pytest.raises(ValueError, match=r"expected real, of shape \(steps, chains\)"):
        estimate(samples)


def test_interval_refuses_percent():
    with pytest.raises(ValueError, match="level is 95"):
        estimate(normal(10, 10)).interval(95.0)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-8.070513, 0.000231, "-8.07051(23)"),
        (-8.070513, 0.0000996, "-8.07051(10)"),
        (-8.07, 0.0996, "-8.07(10)"),
        (10.26, 2.44, "10.3(2.4)"),
        (10.26, 0.996, "10.3(1.0)"),
        (1234.5, 23.0, "1234(23)"),
        (1234.5, 234.0, "1230(230)"),
        (-1000.0, 1e-9, "-1000.0000000000(10)"),
        (0.00012, 0.00001, "0.000120(10)"),
        (-0.5, 0.0, "-0.5(0)"),
        (-0.5, float("nan"), "-0.5(?)"),
        (float("nan"), 0.1, "nan"),
    ],
)
def test_format_with_error(value, error, text):
    assert format_with_error(value, error) == text


def test_str_of_an_estimate():
    numbers = dict.fromkeys(
        ["variance", "autocorrelation_time", "effective_samples", "degrees_of_freedom", "split_rhat"], 1.0
    )
    assert str(Estimate(mean=-8.070513, error=0.000231, **numbers, n_steps=9, n_chains=1)) == "-8.07051(23)"
