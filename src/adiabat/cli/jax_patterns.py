"""Six small programs that some releases of JAX get wrong on a CPU: wrong numbers, a crash, or no end at all.

Each is computed by JAX and by NumPy and compared. `adiabat doctor` runs each in a process of its own with a
time limit, since some of them would take the whole program down:

    python -m adiabat.cli.jax_patterns batched-lu

exits 0 if JAX agrees with NumPy and 1 if not. Which releases fail, and how that was found, is in
docs/decisions/0001-jax-releases.md.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Pair = tuple[Any, Any]  # computed by JAX, computed by NumPy: arrays, or tuples of arrays


@dataclass(frozen=True)
class Pattern:
    """One program: what it does in words, and the function that runs it in JAX and in NumPy."""

    name: str
    does: str
    run: Callable[[], Pair]
    wrong_everywhere: bool = False  # no release gets it right, so adiabat never writes it


def matvec_then_sum() -> Pair:
    """Vmapped matrix-vector products, summed: wrong beyond some 16384 rows."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    computed, expected = [], []
    with jax.enable_x64(True):
        for dtype, n_rows in ((np.float64, 16_385), (np.float64, 20_001), (np.float32, 40_001)):
            matrix, rows = rng.normal(size=(3, 3)), rng.normal(size=(n_rows, 3))
            summed = jax.vmap(lambda row, matrix: jnp.sum((matrix @ row) ** 2), (0, None))
            computed.append(jax.jit(summed)(rows.astype(dtype), matrix.astype(dtype)))
            expected.append(((rows @ matrix.T) ** 2).sum(axis=1))
    return tuple(computed), tuple(expected)


def high_rank_sum() -> Pair:
    """A product of rank 7 or 8, summed over one axis: a crash, or no end."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    computed, expected = [], []
    for shape, other_shape, axis in (
        ((3, 1, 2, 2, 8, 8, 8), (3, 1, 2, 2, 8, 8, 8), 3),
        ((10, 4, 6, 1, 1, 1, 1, 1), (10, 4, 6, 9, 9, 9, 9, 9), 2),
    ):
        a = rng.normal(size=shape).astype(np.float32)
        b = rng.normal(size=other_shape).astype(np.float32)
        computed.append(jax.jit(lambda a, b, axis=axis: jnp.log1p(jnp.sum(a * b, axis=axis) ** 2))(a, b))
        expected.append(np.log1p((a * b).sum(axis=axis) ** 2))
    return tuple(computed), tuple(expected)


def batched_lu() -> Pair:
    """The gradient of batches of determinants in one program, as spin up and spin down have: no end."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    batches = (np.eye(4) + 0.1 * rng.normal(size=(4, 8000, 4, 4))).astype(np.float32)

    def log_determinants(batches: list[jax.Array]) -> jax.Array:
        return sum((jnp.sum(jnp.linalg.slogdet(x)[1]) for x in batches), start=jnp.float32(0))

    computed = run_repeatedly(jax.jit(jax.grad(log_determinants)), list(batches))
    return tuple(computed), tuple(np.linalg.inv(x).swapaxes(1, 2) for x in batches)


def many_ffts() -> Pair:
    """Many independent Fourier transforms in one program: no end."""
    import jax
    import jax.numpy as jnp

    scales = [1 + 0.1 * k for k in range(24)]
    x = np.random.default_rng(0).normal(size=(64, 32, 32)).astype(np.float32)

    def there_and_back(x: jax.Array) -> jax.Array:
        spectra = (jnp.fft.rfft2(jnp.sin(scale * x)) / scale for scale in scales)
        return sum((jnp.fft.irfft2(spectrum, s=x.shape[1:]) for spectrum in spectra), start=jnp.zeros_like(x))

    computed = run_repeatedly(jax.jit(there_and_back), x)
    return computed, sum(np.sin(scale * x) / scale for scale in scales)


def long_scan() -> Pair:
    """A scan that stacks one number a step: a time quadratic in the number of steps."""
    import jax
    import jax.numpy as jnp

    x = np.arange(400_000, dtype=np.int32) % 7

    def running_sum(total: jax.Array, term: jax.Array) -> tuple[jax.Array, jax.Array]:
        return total + term, total + term

    _, computed = jax.jit(lambda x: jax.lax.scan(running_sum, jnp.int32(0), x))(x)
    return computed, np.cumsum(x, dtype=np.int32)


def overlapping_shift() -> Pair:
    """An array doubled, shifted in place onto itself and reshaped: wrong values.

    XLA fuses the shift into a copy that reads what it has just overwritten. `jnp.concatenate` and `jnp.roll`
    make a shift that is right.
    """
    import jax

    x = np.arange(1000, dtype=np.float32)

    def shift(x: jax.Array) -> jax.Array:
        doubled = 2 * x
        return doubled.at[1:].set(doubled[:-1]).reshape(1000, 1)  # overlapping shift on purpose

    expected = 2 * x
    expected[1:] = 2 * x[:-1]
    return jax.jit(shift)(x), expected.reshape(1000, 1)


PATTERNS = {
    pattern.name: pattern
    for pattern in (
        Pattern("matvec-then-sum", "vmapped matrix-vector products, summed", matvec_then_sum),
        Pattern("high-rank-sum", "product of rank 7 and 8, summed over one axis", high_rank_sum),
        Pattern("batched-lu", "batched LU factorisations side by side", batched_lu),
        Pattern("many-ffts", "many Fourier transforms in one program", many_ffts),
        Pattern("long-scan", "scan stacking an output at each of 400 000 steps", long_scan),
        Pattern(
            "overlapping-shift",
            "doubled, shifted in place, reshaped",
            overlapping_shift,
            wrong_everywhere=True,
        ),
    )
}


def run_repeatedly(program: Callable[[Any], Any], argument: Any) -> Any:
    """Call a compiled program for three seconds: a deadlock comes by chance, one call in some tens."""
    import jax

    result = jax.block_until_ready(program(argument))
    end = time.monotonic() + 3
    while time.monotonic() < end:
        result = jax.block_until_ready(program(argument))
    return result


def largest_error(computed: Any, expected: Any) -> float:
    """The largest difference of any two entries, relative to the largest entry expected."""
    if isinstance(expected, tuple):
        return max(largest_error(c, e) for c, e in zip(computed, expected, strict=True))
    expected = np.asarray(expected)
    difference = np.abs(np.asarray(computed) - expected)
    return float(np.max(difference) / np.max(np.abs(expected)))


def main(names: list[str]) -> int:
    """Run the named patterns; 0: all agree with NumPy, 1: one does not, 2: no such pattern."""
    unknown = [name for name in names if name not in PATTERNS]
    if unknown or not names:
        print(f"No pattern {', '.join(unknown) or 'named'}; there are {', '.join(PATTERNS)}.", file=sys.stderr)
        return 2
    agreed = True
    for name in names:
        error = largest_error(*PATTERNS[name].run())
        right = error < 1e-3  # false for nan too
        agreed &= right
        print(f"{name}: {'agrees with NumPy' if right else 'WRONG'}, largest relative error {error:.1e}")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
