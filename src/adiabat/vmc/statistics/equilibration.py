"""Where the drift of the first samples ends: tested, not assumed."""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

from adiabat.vmc.statistics.chain_error import chain_error

# Chance of seeing a drift where there is none. Small: dropping samples for what they say biases the rest.
FALSE_ALARM = 0.02

# Once a drift is certain, its tail is followed down to a weaker sign than would have raised the alarm.
FOLLOW_UP = 0.5

# A beginning of these shares of the samples is compared with the last half of them.
BEGINNINGS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)

# How much may be dropped, in the order tried.
CUTS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2)

# From here on the chains themselves say how much a difference within a chain scatters, whatever the
# autocorrelation; fewer chains leave that to the autocovariance.
ENOUGH_CHAINS = 16

FEWEST_STEPS = 8


def equilibrated_from(chains: Float[np.ndarray, "steps chains"]) -> tuple[int, bool]:
    """Find the step from which on the mean over the chains no longer drifts.

    Parameters
    ----------
    chains : (steps, chains) float64
        Samples in time order, or means of equal blocks of them.

    Returns
    -------
    first : int
        Steps to drop: 0 unless a drift is established beyond doubt, at most half of them.
    settled : bool
        False if the mean drifts even in the second half. Always True below FEWEST_STEPS steps, where a drift
        could not be told from chance.

    Notes
    -----
    The mean of a beginning, at several lengths, is compared by Student's t with the mean of the last half
    (after J. Geweke, in Bayesian Statistics 4 (1992), who compares one length). Choosing the cut by the
    largest number of effective samples instead would favour the cuts that make the autocorrelation time
    look short, and with it the error bar.
    """
    n_steps = chains.shape[0]
    if n_steps < FEWEST_STEPS or not np.isfinite(chains).all():
        return 0, True
    if not _drifts(chains, FALSE_ALARM):
        return 0, True
    for share in CUTS:
        first = max(1, round(share * n_steps))
        if not _drifts(chains[first:], FOLLOW_UP):
            return first, True
    return n_steps // 2, False


def _drifts(chains: Float[np.ndarray, "steps chains"], chance: float) -> bool:
    """Whether some beginning differs from the last half by more than chance allows, all lengths together."""
    n_steps = chains.shape[0]
    end = chains[n_steps - n_steps // 2 :]
    lengths = sorted({max(1, round(share * n_steps)) for share in BEGINNINGS})
    differences = np.stack([chains[:length].mean(axis=0) - end.mean(axis=0) for length in lengths])
    errors, degrees_of_freedom = _errors_of_differences(differences, np.array(lengths), end)
    if not np.isfinite(degrees_of_freedom):
        return False
    threshold = stdtrit(degrees_of_freedom, 1.0 - chance / (2 * len(lengths)))
    return bool((np.abs(differences.mean(axis=1)) > threshold * errors).any())


def _errors_of_differences(
    differences: Float[np.ndarray, "lengths chains"],
    lengths: Int[np.ndarray, " lengths"],
    end: Float[np.ndarray, "half chains"],
) -> tuple[Float[np.ndarray, " lengths"], float]:
    n_chains = differences.shape[1]
    if n_chains >= ENOUGH_CHAINS:
        return differences.std(axis=1, ddof=1) / np.sqrt(n_chains), float(n_chains - 1)
    # Error^2 falls as one over the length. For a beginning shorter than the autocorrelation time this
    # overestimates it, which costs power but raises no false alarm.
    end_error, degrees_of_freedom = chain_error(end)
    return end_error * np.sqrt(1.0 + end.shape[0] / lengths), degrees_of_freedom
