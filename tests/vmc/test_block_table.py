"""The table that keeps statistics of long runs says what all samples would have said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiabat.vmc import block_table
from adiabat.vmc.block_table import BlockTable
from adiabat.vmc.statistics import estimate


def record(table: BlockTable, samples: np.ndarray) -> BlockTable:
    with jax.enable_x64(True):
        return _record(table, samples)


@jax.jit
def _record(table: BlockTable, samples: jax.Array) -> BlockTable:
    return jax.lax.scan(lambda t, x: (block_table.add(t, x), None), table, samples)[0]


def energies(n_steps: int, n_chains: int) -> np.ndarray:
    noise = np.random.default_rng(n_steps).standard_normal((n_steps, n_chains))
    walk = np.cumsum(noise, axis=0) / np.sqrt(np.arange(1, n_steps + 1))[:, None]
    return (walk - 1000.0).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 5), (7, 3), (256, 4), (257, 4), (2048, 4), (3001, 16), (4096, 1)])
def test_table_and_samples_give_one_estimate(shape):
    samples = energies(*shape)
    from_table = block_table.estimate(record(block_table.init(shape[1]), samples))
    from_samples = estimate(samples)

    for name in ("mean", "error", "variance", "autocorrelation_time", "degrees_of_freedom"):
        assert getattr(from_table, name) == pytest.approx(getattr(from_samples, name), rel=1e-10), name
    assert from_table.equilibration_steps == from_samples.equilibration_steps
    assert (from_table.n_steps, from_table.n_chains) == shape
    if shape[0] <= 256 and shape[0] >= 4:
        assert from_table.split_rhat == from_samples.split_rhat


def test_interruptions_leave_no_trace():
    samples = energies(1000, 8)
    whole = record(block_table.init(8), samples)
    pieces = record(record(record(block_table.init(8), samples[:255]), samples[255:600]), samples[600:])
    assert jax.tree.all(jax.tree.map(np.array_equal, whole, pieces))


def test_memory_is_bounded_and_precision_is_double():
    table = record(block_table.init(2, n_blocks=4), energies(1000, 2))
    assert table.sums.shape == (4, 2)
    assert table.sums.dtype == table.squares.dtype == np.float64
    assert block_table.to_blocks(table).steps.sum() == 1000


def test_systems_side_by_side_do_not_know_of_each_other():
    samples = np.stack([energies(600, 3), 2 * energies(600, 3)])
    with jax.enable_x64(True):
        tables = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), block_table.init(3))
        tables = jax.jit(jax.vmap(_record))(tables, samples)
    for system in range(2):
        alone = record(block_table.init(3), samples[system])
        together = jax.tree.map(lambda leaf, system=system: leaf[system], tables)
        assert np.allclose(together.sums, alone.sums, rtol=1e-14)
    with pytest.raises(ValueError, match="single system"):
        block_table.estimate(tables)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_samples_are_counted(bad):
    samples = energies(600, 3)
    samples[20, 1] = bad
    result = block_table.estimate(record(block_table.init(3), samples))
    assert result.nonfinite == 1
    assert np.isnan(result.mean)


def test_single_precision_is_refused():
    with pytest.raises(TypeError, match="enable_x64"):
        block_table.add(block_table.init(3), jnp.zeros(3))


def test_an_empty_table_has_no_mean():
    with pytest.raises(ValueError, match="no samples"):
        block_table.estimate(block_table.init(3))


@pytest.mark.parametrize("sizes", [(0, 4), (3, 5), (3, 0)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="even number of blocks"):
        block_table.init(*sizes)
