"""Which atoms are near each other: all pairs of small systems, neighbor lists of large ones."""

from adiabat.atoms.neighbors.all_pairs import AllPairs, all_pairs
from adiabat.atoms.neighbors.images import images_needed
from adiabat.atoms.neighbors.neighbor_list import NeighborList
from adiabat.atoms.neighbors.pairs import Pairs

__all__ = ["AllPairs", "NeighborList", "Pairs", "all_pairs", "images_needed"]
