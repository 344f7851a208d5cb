"""Where the first K entries of each row of a mask are that are true.

XLA has nothing fast for this on a CPU: sorting rows or scattering into them costs tens of times what finding out the
mask does. Here the mask becomes words of 32 bits, and the k-th bit that is set is found for all k at once: first its
word, from how many bits are set in those before, and then the bit by bisection of the word.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, Shaped, UInt32

from adiabat.atoms.neighbors.pairs import look_up

WORD = 32
_STRIDE = 8


class BitRows(NamedTuple):
    """Rows of W words and how many bits are set in all words before each; to be stored before they are looked up."""

    words: UInt32[Array, "R W"]
    before: Int32[Array, "R T"]  # filled up with a number that is never reached
    counts: Int32[Array, " R"]  # bits that are set in the row


def in_words(rows: Shaped[Array, "*rows C"], filling: Any) -> Shaped[Array, "*rows W 32"]:
    """Rows cut into pieces of a word, the last one filled up."""
    more = [(0, 0)] * (rows.ndim - 1) + [(0, -rows.shape[-1] % WORD)]
    return jnp.pad(rows, more, constant_values=filling).reshape(*rows.shape[:-1], -1, WORD)


def packed(mask: Bool[Array, "*rows W 32"]) -> UInt32[Array, "*rows W"]:
    """Words of bits, entry b of each as its bit b."""
    bits = np.uint32(1) << np.arange(WORD, dtype=np.uint32)
    return jnp.sum(jnp.where(mask, bits, np.uint32(0)), axis=-1, dtype=jnp.uint32)


def counted(words: UInt32[Array, "R W"]) -> BitRows:
    """Rows of words, ready for `first_set`."""
    n_words = words.shape[1]
    up_to = jax.lax.associative_scan(jnp.add, jax.lax.population_count(words).astype(jnp.int32), axis=1)
    before = jnp.pad(up_to, ((0, 0), (1, 0)))
    before = jnp.pad(before, ((0, 0), (0, -(n_words + 1) % _STRIDE)), constant_values=np.iinfo(np.int32).max)
    return BitRows(words, before, up_to[:, -1])


def first_set(rows: BitRows, room: int) -> Int32[Array, "R K"]:
    """Positions of the first `room` bits that are set in each row, in order; after the last, some that exist."""
    n_rows, n_words = rows.words.shape
    width = rows.before.shape[1]
    row = jnp.arange(n_rows, dtype=jnp.int32)[:, None]
    rank = jnp.arange(room, dtype=jnp.int32)

    # The last word before which no more than `rank` bits are set: roughly by comparing, then by bisection.
    word = jnp.zeros((n_rows, room), jnp.int32)
    for column in range(_STRIDE, n_words, _STRIDE):
        word = jnp.where(rows.before[:, column, None] <= rank, column, word)
    for step in _halves(_STRIDE):
        word = jnp.where(look_up(rows.before, row * width + word + step) <= rank, word + step, word)
    rank = rank - look_up(rows.before, row * width + word)
    word = jnp.minimum(word, n_words - 1)
    bits = look_up(rows.words, row * n_words + word)

    bit = jnp.zeros_like(word)
    for step in _halves(WORD):
        low = jax.lax.population_count(bits & np.uint32((1 << step) - 1)).astype(jnp.int32)
        above = rank >= low
        rank, bits = jnp.where(above, rank - low, rank), jnp.where(above, bits >> step, bits)
        bit = jnp.where(above, bit + step, bit)
    return word * WORD + bit


def _halves(width: int) -> list[int]:
    return [1 << power for power in range(width.bit_length() - 2, -1, -1)]
