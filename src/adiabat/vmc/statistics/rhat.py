"""Whether chains that started apart have forgotten it."""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri


def split_rhat(chains: Float[np.ndarray, "steps chains"]) -> float:
    """Rank-normalised split R-hat: 1 when all halves of all chains look alike, above 1.01 when they do not.

    The larger of two values: for the samples themselves (do the chains agree where the distribution lies) and
    for their distance from the median (do they agree how wide it is).

    Parameters
    ----------
    chains : (steps, chains) float64
        Samples in time order; an odd step in the middle is left out.

    Returns
    -------
    float
        NaN for fewer than four steps or for non-finite samples; 1 if all samples are equal.

    References
    ----------
    A. Vehtari et al., Bayesian Analysis 16, 667 (2021).
    """
    half = chains.shape[0] // 2
    if half < 2 or not np.isfinite(chains).all():
        return float("nan")
    halves = np.concatenate([chains[:half], chains[-half:]], axis=1).astype(np.float64)
    folded = np.abs(halves - np.median(halves))
    return max(_rhat(_rank_normalised(halves)), _rhat(_rank_normalised(folded)))


def _rank_normalised(samples: Float[np.ndarray, "steps chains"]) -> Float[np.ndarray, "steps chains"]:
    # Equal samples share the mean of their ranks, as scipy.stats.rankdata has it, whose import takes half a second.
    _, group, sizes = np.unique(samples, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group].reshape(samples.shape)
    result: np.ndarray = ndtri((ranks - 3 / 8) / (samples.size + 1 / 4))
    return result


def _rhat(chains: Float[np.ndarray, "steps chains"]) -> float:
    n_steps = chains.shape[0]
    within = chains.var(axis=0, ddof=1).mean()
    between = chains.mean(axis=0).var(ddof=1)
    if within == 0.0:
        return 1.0 if between == 0.0 else float("inf")
    return float(np.sqrt((n_steps - 1) / n_steps + between / within))
