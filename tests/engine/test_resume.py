"""A run that was stopped and goes on is to the bit the run that was not."""

import numpy as np
import pytest
from engine_toys import (
    Count,
    Fragile,
    Idle,
    Notes,
    Reached,
    Rows,
    Walk,
    assert_same_state,
    metrics_without_times,
    walkers,
)

from adiabat.engine import AbstractCallback, Checkpoints, Driver, MetricsRecorder
from adiabat.errors import InputError, NumericalError, OutputError


def stages(**how):
    return (
        Walk(name="pretrain", n_steps=10)
        + Fragile(name="train", n_steps=30, at=(3, 17), failures=2, **how)
        + Walk(name="evaluate", n_steps=15, rate=0.0)
    )


def driver(folder, stage=None, *, n_systems=1, restored=False, recorded=False, **how):
    """A driver as a fresh process would make it."""
    checkpoints = Checkpoints(folder / "checkpoints", step_interval=1, time_interval=0.0, **how.pop("keeping", {}))
    callbacks = how.pop("callbacks", [])
    if recorded:
        callbacks = [*callbacks, MetricsRecorder(folder / "metrics", ("csv", "jsonl", "hdf5"))]
    how.setdefault("systems", walkers(n_systems))
    made = Driver(stage or stages(), checkpoints=checkpoints, callbacks=callbacks, seed=11, **how)
    if restored:
        made.restore()
    return made


@pytest.mark.parametrize(
    ("cuts", "n_systems"),
    [((1,), 1), ((7, 10), 3), ((10, 11), 1), ((13, 14, 30), 1), ((27, 39), 3), ((40, 41, 54), 1)],
)
def test_a_run_in_pieces_is_to_the_bit_the_run_in_one(tmp_path, cuts, n_systems):
    """Cut before, at and after the changes of stage and the rejected steps (13 and 27)."""
    whole = driver(tmp_path / "whole", n_systems=n_systems, recorded=True)
    whole.run()
    for start, end in zip((0, *cuts), (*cuts, 55), strict=True):
        piece = driver(tmp_path / "pieces", n_systems=n_systems, restored=start > 0, recorded=True)
        assert piece.step_count == start
        piece.run(end - start)
    assert piece.done
    assert_same_state(piece.state, whole.state)
    assert metrics_without_times(tmp_path / "pieces") == metrics_without_times(tmp_path / "whole")
    assert len(metrics_without_times(tmp_path / "whole")) == 9


def test_rows_beyond_the_checkpoint_are_cut_off_and_written_again(tmp_path):
    """As after kill -9: the metrics are ahead of the newest checkpoint."""
    whole = driver(tmp_path / "whole", recorded=True)
    whole.run()
    ahead = driver(tmp_path / "killed", recorded=True, keeping={"keep": 99}, chunk_seconds=1e-9)
    ahead.run()
    for path in ahead.checkpoints.newest_first():
        if int(path.stem.rsplit("-", 1)[1]) > 22:
            path.unlink()
    with open(tmp_path / "killed" / "metrics" / "train.csv", "a") as file:
        file.write("23,train,1")
    again = driver(tmp_path / "killed", recorded=True, restored=True)
    assert again.step_count == 22
    again.run()
    assert metrics_without_times(tmp_path / "killed") == metrics_without_times(tmp_path / "whole")


def test_a_finished_run_is_done_when_restored(tmp_path):
    driver(tmp_path).run()
    again = driver(tmp_path, restored=True)
    assert again.done
    again.run()
    assert again.step_count == 55


def test_the_counts_of_steps_and_seconds_go_on(tmp_path):
    driver(tmp_path).run(25)
    again = driver(tmp_path, restored=True)
    again.run()
    assert again.timings.steps == {"pretrain": 10, "train": 30, "evaluate": 15}
    assert again.timings.seconds["pretrain"] > 0


def test_there_is_nothing_to_restore_in_a_new_folder(tmp_path):
    assert driver(tmp_path).restore() is None


def test_a_driver_that_was_not_restored_does_not_run_over_checkpoints(tmp_path):
    driver(tmp_path).run(3)
    with pytest.raises(InputError, match=r"step-000000003\.npz is there already; call restore\(\)"):
        driver(tmp_path).run(3)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:500] + bytes([b[500] ^ 1]) + b[501:]])
def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_used(tmp_path, damage):
    driver(tmp_path).run(20)
    newest = next(driver(tmp_path).checkpoints.newest_first())
    newest.write_bytes(damage(newest.read_bytes()))
    rows = Rows()
    again = driver(tmp_path, restored=True, callbacks=[rows])
    assert 10 < again.step_count < 20
    (damaged,) = [message for kind, message in rows.events if kind == "checkpoint_damaged"]
    assert str(newest) in damaged
    again.run()
    whole = driver(tmp_path / "whole")
    whole.run()
    assert_same_state(again.state, whole.state)


def test_with_all_checkpoints_damaged_nothing_is_started_anew(tmp_path):
    driver(tmp_path).run(5)
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.raises(OutputError, match=r"none of the \d checkpoints"):
        driver(tmp_path, restored=True)


def test_a_checkpoint_that_does_not_fit_is_refused_in_one_sentence_naming_each_difference(tmp_path):
    driver(tmp_path, signature={"network": "small"}).run(12)
    other = stages(kind="adam")
    with pytest.raises(InputError) as raised:
        driver(tmp_path, other, systems=walkers(1, n_walkers=6), signature={"network": "large"}, restored=True)
    message = str(raised.value)
    assert "network is small there and large here" in message
    assert "train.kind is plain there and adam here" in message
    assert "systems/x is float32[1, 4, 3] there and float32[1, 6, 3] here" in message
    assert "\n" not in message


def test_another_seed_is_refused(tmp_path):
    driver(tmp_path).run(2)
    with pytest.raises(InputError, match="seed is 11 there and 12 here"):
        Driver(stages(), seed=12, systems=walkers(), checkpoints=tmp_path / "checkpoints").restore()


def test_another_number_of_systems_is_refused(tmp_path):
    driver(tmp_path).run(2)
    with pytest.raises(InputError, match=r"systems/x is float32\[1, 4, 3\] there and float32\[2, 4, 3\] here"):
        driver(tmp_path, n_systems=2, restored=True)


def test_other_stages_are_refused(tmp_path):
    driver(tmp_path).run(2)
    with pytest.raises(InputError, match="stages is pretrain, train, evaluate there and pretrain, train here"):
        driver(tmp_path, Walk(name="pretrain", n_steps=10) + Walk(name="train", n_steps=30), restored=True)


def test_of_many_differing_arrays_a_few_are_named_and_the_rest_counted(tmp_path):
    def many(width):
        return {f"w{i}": np.zeros((1, width)) for i in range(9)}

    Driver(Idle(name="i", n_steps=9), systems=many(2), checkpoints=tmp_path).run(1)
    with pytest.raises(InputError, match=r"systems/w3 is .*; 5 more arrays differ"):
        Driver(Idle(name="i", n_steps=9), systems=many(3), checkpoints=tmp_path).restore()


def test_a_failed_run_saves_its_last_good_state_and_never_the_bad_one(tmp_path):
    rows = Rows()
    failing = Fragile(name="f", at=(6,), failures=99)
    failed = driver(tmp_path, failing, max_attempts=3, callbacks=[rows])
    with pytest.raises(NumericalError, match="the last good state is saved"):
        failed.run()
    again = driver(tmp_path, failing, max_attempts=3, restored=True)
    assert again.step_count == 6
    assert all(np.isfinite(x).all() for x in again.state.systems.values())
    with pytest.raises(NumericalError):
        again.run()
    assert again.step_count == 6
    mended = driver(tmp_path, Fragile(name="f", at=(6,), failures=1), restored=True)
    mended.run(3)
    assert mended.step_count == 9


def test_more_steps_for_a_stage_extend_the_run_from_the_end_of_that_stage(tmp_path):
    def three(train):
        return (
            Walk(name="a", n_steps=5) + Walk(name="train", n_steps=train) + Walk(name="evaluate", n_steps=7, rate=0.0)
        )

    driver(tmp_path / "extended", three(20), recorded=True).run()
    rows = Rows()
    longer = driver(tmp_path / "extended", three(33), restored=True, recorded=True, callbacks=[rows])
    assert longer.step_count == 25
    assert any("train is extended" in message for _, message in rows.events)
    longer.run()
    whole = driver(tmp_path / "whole", three(33), recorded=True)
    whole.run()
    assert_same_state(longer.state, whole.state)
    assert metrics_without_times(tmp_path / "extended") == metrics_without_times(tmp_path / "whole")


def test_an_extension_that_is_killed_goes_on_as_an_extension(tmp_path):
    def two(train):
        return Walk(name="train", n_steps=train) + Walk(name="evaluate", n_steps=9)

    driver(tmp_path, two(10)).run()
    driver(tmp_path, two(20), restored=True).run(3)
    again = driver(tmp_path, two(20), restored=True)
    assert again.step_count == 13
    again.run()
    assert again.step_count == 29


def test_a_stricter_criterion_extends_the_run_too(tmp_path):
    def one(threshold):
        return Count(name="relax", by=-1, convergence=Reached("n", threshold)) + Count(name="rest", n_steps=2)

    start = {"n": np.array([20], np.int32)}
    driver(tmp_path, one(10), systems=start).run()
    again = driver(tmp_path, one(10), systems=start, restored=True)
    assert again.done
    stricter = driver(tmp_path, one(5), systems=start, restored=True)
    assert stricter.step_count == 11
    stricter.run()
    assert stricter.step_count == 16 + 2


def test_fewer_steps_than_were_done_change_nothing(tmp_path):
    driver(tmp_path, Walk(name="train", n_steps=10) + Walk(name="evaluate", n_steps=3)).run()
    again = driver(tmp_path, Walk(name="train", n_steps=4) + Walk(name="evaluate", n_steps=3), restored=True)
    assert again.done


def test_a_stage_that_is_not_extendable_is_not_gone_back_to(tmp_path):
    def two(pretrain):
        return Walk(name="pretrain", n_steps=pretrain, extendable=False) + Walk(name="train", n_steps=9)

    driver(tmp_path, two(5)).run(8)
    assert driver(tmp_path, two(50), restored=True).step_count == 8


def test_rows_and_metrics_of_a_stage_that_ended_can_be_looked_at_later(tmp_path):
    first = driver(tmp_path)
    first.run()
    again = driver(tmp_path, restored=True)
    for made in (first, again):
        assert int(made.own("train")["steps"][0]) == 30
        assert np.isfinite(made.last_metrics("train")["energy"]).all()
    assert driver(tmp_path / "new").own("train") is None
    assert driver(tmp_path / "new").last_metrics("train") == {}


def test_callbacks_are_told_before_a_checkpoint_and_after(tmp_path):
    order = []

    class Watches(AbstractCallback):
        def on_rows(self, rows, driver):
            order.append("rows")

        def on_checkpoint(self, step, driver):
            order.append("before")

        def on_event(self, kind, message, driver):
            if kind == "checkpoint":
                order.append("after")

    driver(tmp_path, Walk(name="w", n_steps=1), callbacks=[Watches(), Notes()]).run()
    assert order[:3] == ["rows", "before", "after"]


def test_a_disk_that_fills_ends_the_run_with_an_output_error_and_the_older_checkpoint(tmp_path, monkeypatch):
    import os

    notes = Notes()
    run = driver(tmp_path, callbacks=[notes])
    run.run(3)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        run.run(3)
    assert notes.notes[-1][0] == "on_run_error"
    monkeypatch.undo()
    assert driver(tmp_path, restored=True).step_count == 3
