"""What correlated samples say about a mean, and how sure one may be of it."""

from adiabat.vmc.statistics.blocks import Blocks, block_samples
from adiabat.vmc.statistics.chain_error import ChainError, chain_error
from adiabat.vmc.statistics.equilibration import equilibrated_from
from adiabat.vmc.statistics.estimate import Estimate, estimate, estimate_blocks
from adiabat.vmc.statistics.formatting import format_with_error
from adiabat.vmc.statistics.rhat import split_rhat

__all__ = [
    "Blocks",
    "ChainError",
    "Estimate",
    "block_samples",
    "chain_error",
    "equilibrated_from",
    "estimate",
    "estimate_blocks",
    "format_with_error",
    "split_rhat",
]
