"""A mean of correlated samples with all that one needs to judge it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from adiabat.vmc.statistics.blocks import Blocks, block_samples
from adiabat.vmc.statistics.chain_error import chain_error
from adiabat.vmc.statistics.equilibration import equilibrated_from
from adiabat.vmc.statistics.formatting import format_with_error
from adiabat.vmc.statistics.rhat import split_rhat


@dataclass(frozen=True)
class Estimate:
    """The mean of samples from Markov chains, its error bar, and what the error bar rests on.

    Attributes
    ----------
    mean : float
        Over all chains and all steps after equilibration.
    error : float
        Standard error of the mean; NaN when the samples cannot tell, and then ``note`` says why.
    variance : float
        Of one sample, corrected for the samples being correlated.
    autocorrelation_time : float
        Integrated, in steps, in the convention ``1 + 2 sum_{t >= 1} rho(t)``: the number of successive
        samples that are worth one independent sample, 1 if there is no correlation. ``error**2 = variance *
        autocorrelation_time / (number of samples)``.
    effective_samples : float
        Number of independent samples that would give the same error.
    degrees_of_freedom : float
        How well the error itself is known: Student's t with so many degrees of freedom gives the intervals.
    split_rhat : float
        Rank-normalised split R-hat after equilibration; of block means where only those were kept.
    n_steps, n_chains : int
        As recorded, the equilibration included.
    equilibration_steps : int
        Leading steps that were left out because the mean still drifted in them.
    nonfinite : int
        Samples that are NaN or infinite. They are never left out: a single one makes the mean NaN.
    note : str
        What a reader should know: why there is no error, or that the mean still drifts. Empty if all is well.
    """

    mean: float
    error: float
    variance: float
    autocorrelation_time: float
    effective_samples: float
    degrees_of_freedom: float
    split_rhat: float
    n_steps: int
    n_chains: int
    equilibration_steps: int = 0
    nonfinite: int = 0
    note: str = ""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval that covers the true mean with the probability ``level``."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"level is {level}, expected a probability between 0 and 1")
        half_width = float(stdtrit(self.degrees_of_freedom, 0.5 * (1.0 + level))) * self.error
        return self.mean - half_width, self.mean + half_width

    def __str__(self) -> str:
        return format_with_error(self.mean, self.error)


def estimate(samples: ArrayLike, *, detect_equilibration: bool = True) -> Estimate:
    """Estimate the mean of the distribution that Markov chains sample.

    Parameters
    ----------
    samples : (steps, chains) array of real numbers, any precision
        In time order, the chains independent of each other. All arithmetic is in float64.
    detect_equilibration : bool
        Leave out the first steps if, and only if, the mean provably drifts in them.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If the samples are not real numbers in two axes, with at least one step and one chain.
    """
    samples = np.asarray(samples)
    if samples.ndim != 2 or samples.size == 0 or np.iscomplexobj(samples):
        raise ValueError(
            f"samples are {samples.dtype} of shape {samples.shape}, expected real, of shape (steps, chains)"
        )
    samples = samples.astype(np.float64)
    result = _without_rhat(block_samples(samples), detect_equilibration)
    return replace(result, split_rhat=split_rhat(samples[result.equilibration_steps :]))


def estimate_blocks(blocks: Blocks, *, detect_equilibration: bool = True) -> Estimate:
    """`estimate` from sums over blocks of steps: the same numbers, but R-hat is that of the block means."""
    result = _without_rhat(blocks, detect_equilibration)
    complete = blocks.complete()
    dropped = result.equilibration_steps // int(complete.steps[0])
    return replace(result, split_rhat=split_rhat(complete.means()[dropped:]))


def _without_rhat(blocks: Blocks, detect_equilibration: bool) -> Estimate:
    n_steps, n_chains = int(blocks.steps.sum()), blocks.sums.shape[1]
    if blocks.nonfinite:
        nan = float("nan")
        note = f"{blocks.nonfinite} of {n_steps * n_chains} samples are not finite"
        return Estimate(nan, nan, nan, nan, nan, nan, nan, n_steps, n_chains, 0, blocks.nonfinite, note)

    first, settled = equilibrated_from(blocks.complete().means()) if detect_equilibration else (0, True)
    kept, complete = blocks.after(first), blocks.after(first).complete()
    n_samples = int(kept.steps.sum()) * n_chains
    mean, squares = kept.mean_and_squares()

    error, degrees_of_freedom = chain_error(complete.means())
    # The last, incomplete block takes part in the mean only; the square of the error falls as 1 / steps.
    error *= float(np.sqrt(complete.steps.sum() / kept.steps.sum()))
    # Squares about the estimated mean miss its own variance; for independent samples this is the usual n - 1.
    variance = squares / n_samples + error**2 if np.isfinite(error) else squares / max(n_samples - 1, 1)
    time = n_samples * error**2 / variance if variance > 0.0 else 1.0
    return Estimate(
        mean=mean,
        error=error,
        variance=variance if n_samples > 1 else float("nan"),
        autocorrelation_time=time if n_samples > 1 else float("nan"),
        effective_samples=n_samples / time if time > 0.0 else float("inf"),
        degrees_of_freedom=degrees_of_freedom,
        split_rhat=float("nan"),
        n_steps=n_steps,
        n_chains=n_chains,
        equilibration_steps=int(blocks.steps[:first].sum()),
        note=_note(n_steps, n_chains, error, settled),
    )


def _note(n_steps: int, n_chains: int, error: float, settled: bool) -> str:
    if n_steps * n_chains == 1:
        return "no error bar: there is only one sample"
    if np.isnan(error):
        return f"no error bar: a single chain of {n_steps} steps is too short"
    if not settled:
        return "the mean still drifts in the second half of the steps"
    return ""
