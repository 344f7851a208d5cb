"""Guesses at what a user meant by a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["closest", "did_you_mean", "question", "similar_paths"]

_SURE = 0.8  # two paths as alike as this differ by a slip of the finger


def closest(word: str, candidates: Iterable[str], limit: int = 1, likeness: float = 0.6) -> list[str]:
    """The candidates that look like `word` whatever its case, best first; empty if none does.

    `likeness` is how much of the letters must agree, between 0 and 1.
    """
    by_lower: dict[str, str] = {}
    for candidate in candidates:
        by_lower.setdefault(candidate.lower(), candidate)
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=limit, cutoff=likeness)
    return [by_lower[name] for name in found]


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """The clause `, did you mean 'x'?`, or nothing if no candidate looks like `word`."""
    return question(closest(word, candidates))


def question(suggestions: Sequence[str]) -> str:
    """`, did you mean 'a', 'b' or 'c'?` for the given suggestions, nothing for none."""
    if not suggestions:
        return ""
    quoted = [f"'{suggestion}'" for suggestion in suggestions]
    text = quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]
    return f", did you mean {text}?"


def similar_paths(path: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Known dotted paths that the unknown `path` may stand for, best first.

    Tried in this order: a misspelt word beside its right neighbors (`train.optimiser`), the right words in
    the wrong section (`train.sampler.steps` for `sampler.steps`), a badly misspelt word, a misspelt section.
    """
    known = sorted(set(known))
    scope, _, word = path.rpartition(".")
    neighbors = {name.rpartition(".")[2]: name for name in known if name.rpartition(".")[0] == scope}
    misspelt = closest(word, neighbors, likeness=_SURE)
    moved = _moved(path, known)
    if misspelt or not moved:
        misspelt = misspelt or closest(word, neighbors)
        if misspelt or scope in known:
            return [neighbors[name] for name in misspelt]
        return closest(path, known, likeness=_SURE)
    return moved[:1] if _likeness(path, moved[0]) > _SURE else moved[:limit]


def _moved(path: str, known: list[str]) -> list[str]:
    """Known paths that end in as many words of `path` as possible, the most similar first."""
    words = path.split(".")
    for start in range(len(words)):
        tail = ".".join(words[start:])
        moved = [name for name in known if name == tail or name.endswith("." + tail)]
        if moved:
            return sorted(moved, key=lambda name: _likeness(path, name), reverse=True)
    return []


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
