"""Sums over blocks of successive steps: all that statistics keep of a long run."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

# A run is never looked at in more blocks than this, whether or not its samples were kept. 128 blocks still
# resolve an autocorrelation time of a tenth of a chain; of a longer one a single chain says little anyway.
MOST_BLOCKS = 256


@dataclass(frozen=True)
class Blocks:
    """Successive steps of all chains, summed in blocks of equal length; only the last block may be shorter.

    Attributes
    ----------
    sums : (blocks, chains) float64
        Sum of each chain's samples over the steps of the block.
    squares : (blocks,) float64
        Sum over the block's steps and all chains of the squared deviation from the block's mean.
    steps : (blocks,) int
        Number of steps in each block.
    nonfinite : int
        Number of samples that are NaN or infinite.
    """

    sums: Float[np.ndarray, "blocks chains"]
    squares: Float[np.ndarray, " blocks"]
    steps: Int[np.ndarray, " blocks"]
    nonfinite: int = 0

    def means(self) -> Float[np.ndarray, "blocks chains"]:
        """Mean of each chain over each block."""
        return self.sums / self.steps[:, None]

    def after(self, first: int) -> "Blocks":
        """All but the ``first`` blocks."""
        return Blocks(self.sums[first:], self.squares[first:], self.steps[first:], self.nonfinite)

    def complete(self) -> "Blocks":
        """All blocks of full length."""
        number = len(self.steps) - int(self.steps[-1] < self.steps[0])
        return Blocks(self.sums[:number], self.squares[:number], self.steps[:number], self.nonfinite)

    def mean_and_squares(self) -> tuple[float, float]:
        """Mean of all samples, and their summed squared deviations from it.

        Combined block by block (T. Chan, G. Golub, R. LeVeque, American Statistician 37, 242 (1983)), never
        as the difference of two large numbers.
        """
        samples = self.steps * self.sums.shape[1]
        totals = self.sums.sum(axis=1)
        mean = totals.sum() / samples.sum()
        squares = self.squares.sum() + (samples * (totals / samples - mean) ** 2).sum()
        return float(mean), float(squares)


def block_samples(samples: Float[np.ndarray, "steps chains"], most_blocks: int = MOST_BLOCKS) -> Blocks:
    """Sum samples in blocks of 1, 2, 4, ... steps, whichever first gives at most ``most_blocks`` of them."""
    n_steps, n_chains = samples.shape
    length = 1
    while n_steps > length * most_blocks:
        length *= 2
    starts = np.arange(0, n_steps, length)
    steps = np.minimum(length, n_steps - starts)
    nonfinite = int(np.count_nonzero(~np.isfinite(samples)))
    if nonfinite:  # infinities of both signs add to NaN, which is what their mean is
        with np.errstate(invalid="ignore"):
            sums = np.add.reduceat(samples, starts, axis=0)
        return Blocks(sums, np.full(len(steps), np.nan), steps, nonfinite)
    sums = np.add.reduceat(samples, starts, axis=0)
    means = sums.sum(axis=1) / (steps * n_chains)
    deviations = samples - np.repeat(means, steps)[:, None]
    return Blocks(sums, np.add.reduceat((deviations**2).sum(axis=1), starts), steps)
