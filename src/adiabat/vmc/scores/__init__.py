"""Scores: derivatives of log psi by the parameters, walker by walker, kept by layer and multiplied as they are kept."""

from adiabat.vmc.scores.centred import CentredScores
from adiabat.vmc.scores.gram import gram_matrix
from adiabat.vmc.scores.layers import trace
from adiabat.vmc.scores.layout import Layout
from adiabat.vmc.scores.products import RowProducts
from adiabat.vmc.scores.program import ScoreProgram
from adiabat.vmc.scores.real_parameters import as_given, as_real, of_real
from adiabat.vmc.scores.table import Scores, evaluated, scores

__all__ = [
    "CentredScores",
    "Layout",
    "RowProducts",
    "ScoreProgram",
    "Scores",
    "as_given",
    "as_real",
    "evaluated",
    "gram_matrix",
    "of_real",
    "scores",
    "trace",
]
