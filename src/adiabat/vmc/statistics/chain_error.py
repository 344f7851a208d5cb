"""The standard error of the mean of correlated chains, calibrated for few long and for many short ones.

The variance of a chain's mean is a sum over its autocovariance,

    V = 1/n  sum_{|t| < n} (1 - |t|/n) c(t),

and M chains give the grand mean the variance V / M. Two estimators of V are in common use. The variance of
the M chain means is exact for any autocorrelation, but with few chains it is noise. The sum cut at a window
of some autocorrelation times uses all n M samples, but fails for chains shorter than the window. They are
the two ends of one family: with the autocovariance taken about the grand mean, the sum over the *full*
window is the variance of the chain means to the last digit. So a single number, the window, passes from one
to the other.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# The window is never shorter than this many autocorrelation times (in the convention 1 + 2 sum rho, so five
# decay times of a single exponential, which leaves e^-5 of the sum outside).
WINDOW_TIMES = 2.5

# It is widened until the error bar rests on no more than this many degrees of freedom. They make the error
# bar good to 9 %; more would buy little, while a wider window catches slow modes that the narrow one cannot
# see. From 65 chains on the window is therefore always full, and the error that of the chain means.
ENOUGH_DEGREES_OF_FREEDOM = 64.0


class ChainError(NamedTuple):
    """The standard error of a grand mean, and the degrees of freedom that its own uncertainty corresponds to.

    Both are NaN when the samples cannot tell.
    """

    error: float
    degrees_of_freedom: float


UNKNOWN = ChainError(float("nan"), float("nan"))


def chain_error(chains: Float[np.ndarray, "steps chains"]) -> ChainError:
    """Standard error of the mean over all steps of independent stationary chains.

    Parameters
    ----------
    chains : (steps, chains) float64
        Samples in time order, or the means of blocks of equally many successive samples: the mean, and so its
        error, is the same.

    Returns
    -------
    ChainError
        ``error`` squared is an unbiased estimate of the variance of the mean and ``degrees_of_freedom`` is
        such that intervals of Student's t distribution hold. Both are NaN for a single chain of so few
        steps that they could not even show that they are independent.

    Notes
    -----
    With f the share of the full window's weight that a window W covers,

        f = 1/n sum_{|t| <= W} (1 - |t|/n) = (2W + 1)/n - W(W + 1)/n^2,

    the sum V_W taken about the grand mean, instead of the unknown truth, is too small by the factor
    1 - f/M, and V_W has the relative variance 2/nu with nu = M/f - 1. At the full window (f = 1) these are
    the factor 1 - 1/M and the nu = M - 1 of a sample variance. W is the smallest that holds WINDOW_TIMES
    autocorrelation times of its own estimate, widened as the degrees of freedom allow, but never so far
    that none is left.

    References
    ----------
    A. Sokal, Monte Carlo Methods in Statistical Mechanics (1996), section 3: the self-consistent window.
    U. Wolff, Comput. Phys. Commun. 156, 143 (2004): chains of several replicas, and the bias of the window.
    """
    chains = np.asarray(chains, np.float64)
    n_steps, n_chains = chains.shape
    if n_steps * n_chains < 2 or not np.isfinite(chains).all():
        return UNKNOWN
    if np.ptp(chains) == 0.0:
        return ChainError(0.0, float(n_steps * n_chains - 1))

    covariance = _autocovariance(chains - chains.mean())
    lag = np.arange(n_steps)
    windowed = (2.0 * np.cumsum(covariance) - covariance[0]) / n_steps
    covered = (2 * lag + 1) / n_steps - lag * (lag + 1) / n_steps**2
    degrees_of_freedom = n_chains / covered - 1.0

    # One chain leaves nothing of the full window, so the widest is that with one degree of freedom. (The
    # tolerance is for two chains, which have exactly one.)
    widest = int(np.searchsorted(-degrees_of_freedom, -1.0 + 1e-9, side="right")) - 1
    if widest < min(WINDOW_TIMES, n_steps - 1):
        return UNKNOWN
    windowed = windowed[: widest + 1] / (1.0 - covered[: widest + 1] / n_chains)
    times = n_steps * windowed / (covariance[0] + windowed / n_chains)
    long_enough = np.flatnonzero(lag[: widest + 1] >= WINDOW_TIMES * times)
    window = int(long_enough[0]) if len(long_enough) else widest
    precise = int(np.searchsorted(-degrees_of_freedom, -ENOUGH_DEGREES_OF_FREEDOM))
    window = min(max(window, precise), widest)
    if windowed[window] <= 0.0:
        return UNKNOWN
    return ChainError(float(np.sqrt(windowed[window] / n_chains)), float(degrees_of_freedom[window]))


def _autocovariance(deviations: Float[np.ndarray, "steps chains"]) -> Float[np.ndarray, " lags"]:
    """Mean over chains of 1/n sum_i d_i d_{i+t}: the autocovariance already times its weight 1 - t/n."""
    n_steps, n_chains = deviations.shape
    spectrum = np.fft.rfft(deviations, 2 * n_steps, axis=0)  # zero-padded, so that lags do not wrap around
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
    result: np.ndarray = np.fft.irfft(power, 2 * n_steps)[:n_steps] / (n_steps * n_chains)
    return result
