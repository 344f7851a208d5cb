"""What cannot be simulated is refused with one sentence before anything is computed."""

import numpy as np
import pytest
from toy_potentials import Springs

from adiabat.atoms import (
    FIRE,
    NVE,
    AtomicData,
    Batch,
    ConvergenceHook,
    FrechetCell,
    FusedStage,
    LennardJones,
    MemorySink,
    Morse,
    NVTLangevin,
    SizeAwareSampler,
    read_data,
)
from adiabat.atoms.buckets import plan_buckets
from adiabat.errors import InputError
from adiabat.io.structures import UnreadableFrame

GOOD = AtomicData([[0, 0, 0], [0, 0, 3.8]], [18, 18])
CUBE = 9.0 * np.eye(3)


class NoStress(Springs):
    gives = frozenset({"energy", "forces"})

    def evaluate(self, batch):
        raise AssertionError("nothing may be computed")


def crystal(**changes):
    return AtomicData(
        **{"positions": [[1, 1, 1], [5, 5, 5]], "numbers": [18, 18], "cell": CUBE, "pbc": True, **changes}
    )


def run(*data, dynamics=None):
    """One step of them all."""
    dynamics = dynamics or NVE(LennardJones())
    return dynamics.run(Batch.from_data_list(list(data)), 1)


def file_of(tmp_path, text):
    path = tmp_path / "some.extxyz"
    path.write_text(text)
    return list(read_data(path, strict=True))


BAD = {
    "an element the potential does not know": (
        lambda _: run(GOOD, AtomicData(GOOD.positions, [14, 14])), "no parameters for the pair Si-Si"),
    "a pair without parameters": (
        lambda _: run(AtomicData(GOOD.positions, [18, 36])), "no parameters for the pair Ar-Kr"),
    "no parameters at all": (lambda _: run(GOOD, dynamics=NVE(Morse())), "no parameters for the pair Ar-Ar"),
    "no element": (lambda _: run(GOOD, AtomicData(GOOD.positions, [18, 119])), "structure 1 has an atom of number 119"),
    "positions that are not finite": (
        lambda _: run(GOOD, AtomicData([[0, 0, 0], [0, np.nan, 3]], [18, 18])), "structure 1 has positions that"),
    "coincident atoms": (
        lambda _: run(GOOD, AtomicData([[0, 0, 0], [0, 0, 1e-9]], [18, 18])), "structure 1 has two atoms in one place"),
    "atoms that coincide with images": (
        lambda _: run(crystal(positions=[[0, 0, 0], [0, 9, 9]])), "structure 0 has two atoms in one place"),
    "a cell without volume": (
        lambda _: run(crystal(cell=[[9, 0, 0], [0, 9, 0], [5, 5, 1e-9]])), "structure 0 has a cell without volume"),
    "periodic without a cell": (lambda _: run(crystal(cell=None)), "structure 0 is periodic and has no cell"),
    "larger than any bucket": (
        lambda _: plan_buckets([8, 90, 30], largest=64), "structure 1 has 90 atoms, more than the 64"),
    "larger than a slot": (
        lambda _: Batch.from_data_list([GOOD], n_slot_atoms=1), "has 2 atoms, more than the 1 that a slot has"),
    "no stress for a cell": (
        lambda _: FIRE(NoStress(), cell=FrechetCell()), "FIRE needs stress from its potential, and NoStress"),
    "no cell for a relaxation of cells": (
        lambda _: run(crystal(), GOOD, dynamics=FIRE(LennardJones(), cell=FrechetCell())), "system 1 has no cell"),
    "an unreadable frame, strictly": (
        lambda path: file_of(path, "1\n\nAr 0 0 0\n1\n\nAr 0 zero 0\n"), "frame 1 of .*some.extxyz"),
    "an empty file": (lambda path: file_of(path, ""), "some.extxyz.* is empty"),
    "a negative temperature": (
        lambda _: NVTLangevin(LennardJones(), temperature=-3.0), "temperature.* -3"),
    "a temperature too few": (
        lambda _: run(GOOD, GOOD, dynamics=NVTLangevin(LennardJones(), temperature=[300.0])),
        "temperature: got 1 numbers for 2 systems"),
    "a last stage without end": (
        lambda _: (NVE(LennardJones(), n_steps=3) + FIRE(LennardJones())).run(Batch.from_data_list([GOOD])),
        r"systems would stay in fire \(status 1\) for ever: give it a convergence_hook or n_steps"),
    "a stream without end": (
        lambda _: FusedStage([(0, FIRE(LennardJones()))], sampler=SizeAwareSampler([GOOD])).run(), "stay in fire"),
    "a stream with a temperature too few": (
        lambda _: FusedStage(
            [(0, NVTLangevin(LennardJones(), temperature=(1.0, 2.0), n_steps=3))],
            sampler=SizeAwareSampler([GOOD] * 3), max_batch_size=2,
        ).run(), "temperature: got 2 numbers for 3 systems"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_sentence_before_anything_is_computed(what, tmp_path, monkeypatch):
    monkeypatch.setattr("adiabat.engine.driver.Driver.run", lambda *_: pytest.fail("it was computed"))
    attempt, message = BAD[what]
    with pytest.raises(InputError, match=message) as caught:
        attempt(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_outputs_and_wrong_models_are_also_the_errors_that_one_expects():
    with pytest.raises(RuntimeError):
        FIRE(NoStress(), cell=FrechetCell())
    with pytest.raises(TypeError):
        FIRE("springs")


def test_left_handed_cells_are_as_good_as_others():
    right = run(crystal())
    left = run(crystal(cell=CUBE[::-1]))
    np.testing.assert_allclose(left.energy, right.energy, rtol=1e-12)


def test_a_frame_that_cannot_be_read_is_named_and_the_others_run(tmp_path):
    path = tmp_path / "some.extxyz"
    path.write_text("1\n\nAr 0 0 0\n1\n\nAr 0 zero 0\n2\n\nAr 0 0 0\nAr 0 0 3.8\n")
    found = list(read_data(path))
    bad = [each for each in found if isinstance(each, UnreadableFrame)]
    assert [each.index for each in bad] == [1]
    assert str(bad[0]).startswith(f"frame 1 of '{path}' cannot be used: ")
    good = [each for each in found if isinstance(each, AtomicData)]
    fused, sink = FusedStage([(0, NVE(LennardJones(), n_steps=2))], sampler=SizeAwareSampler(good)), MemorySink()
    fused.sinks = (sink,)
    assert fused.run() is None
    assert len(sink) == 2


def test_what_makes_no_sense_in_a_stream_is_refused_and_the_others_run():
    data = [
        crystal(),
        GOOD,  # has no cell to relax
        crystal(positions=[[1, 1, 1], [1, 1, np.nan]]),
        crystal(numbers=[18, 14]),
        crystal(cell=CUBE[::-1]),
    ]
    relax = FIRE(LennardJones(), cell=FrechetCell(), convergence_hook=ConvergenceHook(), n_steps=2)
    fused = FusedStage([(0, relax)], sampler=SizeAwareSampler(data), max_batch_size=2)
    assert fused.run() is None
    reasons = {i: fused.ledger.reason(i) for i in (1, 2, 3)}
    assert fused.ledger.counts["failed"] == 3
    assert reasons[1].startswith("system 1 has no cell")
    assert reasons[2].startswith("structure 2 has positions that are no numbers")
    assert "no parameters for the pair" in reasons[3]
    assert "(system 3)" in reasons[3]
