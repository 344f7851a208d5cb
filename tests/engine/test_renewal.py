"""A resumed run may begin a part of a stage's rows anew, on purpose; all else goes on as it was saved."""

from dataclasses import dataclass

import numpy as np
import pytest
from engine_toys import Count, Reached, Rows, Walk, arrays, assert_same_state, metrics_without_times, walkers

from adiabat.engine import CheckpointMisfit, Checkpoints, Driver, MetricsRecorder
from adiabat.errors import InputError


@dataclass(frozen=True)
class Descent(Walk):
    """A walk whose moment begins as half the parameter and is in two parts for the method "split"."""

    def init(self, state, keys):
        begun, own = super().init(state, keys)
        moment = state.systems["parameter"] / 2
        return begun, {**own, "moment": {"a": moment / 4, "b": 3 * moment / 4} if self.kind == "split" else moment}

    def post_update(self, state):
        moment = state.own["moment"]
        if self.kind != "split":
            return super().post_update(state)
        whole = super().post_update(state.replace(own={**state.own, "moment": moment["a"] + moment["b"]}))
        part = whole.own["moment"]
        return whole.replace(own={**whole.own, "moment": {"a": part / 4, "b": 3 * part / 4}})

    def finish(self, systems, own):
        return systems

    def renewable(self):
        return {"kind": "moment"}


@dataclass(frozen=True)
class Counting(Count):
    """Counts beside the other fields of the systems."""

    def post_update(self, state):
        return state.replace(systems={**state.systems, "n": state.systems["n"] + self.by})


def stages(kind="plain", train=30):
    train_stage = Descent(name="train", n_steps=train, kind=kind)
    return Walk(name="pretrain", n_steps=10) + train_stage + Walk(name="evaluate", n_steps=15, rate=0.0)


def driver(folder, stage=None, *, n_systems=1, rows=(), **how):
    """A driver as a fresh process would make it."""
    checkpoints = Checkpoints(folder / "checkpoints", step_interval=1, time_interval=0.0)
    callbacks = [*rows, MetricsRecorder(folder / "metrics", ("csv",))]
    how.setdefault("systems", walkers(n_systems))
    return Driver(stage or stages(), checkpoints=checkpoints, callbacks=callbacks, seed=11, **how)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("kind", "n_systems"), [("plain", 3), ("split", 1)])
def test_the_part_begins_as_init_makes_it_and_all_else_is_as_saved(tmp_path, kind, n_systems):
    before = driver(tmp_path, n_systems=n_systems)
    before.run(20)
    rows = Rows()
    again = driver(tmp_path, stages(kind), n_systems=n_systems, rows=[rows])
    assert again.restore(renew=["kind"]) == 20
    parameter = np.asarray(before.state.systems["parameter"])
    moment = again.state.own["train"]["moment"]
    if kind == "split":
        np.testing.assert_array_equal(moment["a"], parameter / 8)
        moment = moment["a"] + moment["b"]
    np.testing.assert_array_equal(moment, parameter / 2)
    own = {"train": {**again.state.own["train"], "moment": before.state.own["train"]["moment"]}}
    assert_same_state(again.state.replace(own=own), before.state)
    change = "" if kind == "plain" else " (plain before, split now)"
    assert ("resumed", f"train: the kind's state begins anew at step 20{change}") in rows.events


def test_a_run_begun_anew_goes_on_to_the_bit_wherever_it_is_cut(tmp_path):
    """The first piece stops before its first step."""
    found = []
    for cuts in ((), (20, 33)):
        folder = tmp_path / str(len(cuts))
        driver(folder).run(20)
        for number, end in enumerate((*cuts, 55)):
            piece = driver(folder, stages("split"))
            piece.restore(renew=() if number else ["kind"])
            piece.run(end - piece.step_count)
        found.append((piece.state, metrics_without_times(folder)))
    (whole, its_rows), (pieces, their_rows) = found
    assert_same_state(pieces, whole)
    assert their_rows == its_rows
    unchanged = driver(tmp_path / "unchanged")
    unchanged.run()
    assert not all(map(np.array_equal, arrays(whole)[0], arrays(unchanged.state)[0]))


def test_another_kind_is_refused_unless_it_begins_anew_and_all_else_is_refused_always(tmp_path):
    driver(tmp_path).run(20)
    with pytest.raises(CheckpointMisfit, match=r"train\.kind is plain there and split here; own/train") as raised:
        driver(tmp_path, stages("split")).restore()
    assert raised.value.renewable == ("kind",)
    for renew in ((), ("kind",)):
        with pytest.raises(CheckpointMisfit, match=r"systems/x is float32\[1, 4, 3\] there") as raised:
            driver(tmp_path, stages("split"), systems=walkers(1, n_walkers=6)).restore(renew=renew)
        assert raised.value.renewable == ()
        assert ("train.kind" in str(raised.value)) == (not renew)
    with pytest.raises(InputError, match="there is no 'kin' that could begin anew; what can is kind"):
        driver(tmp_path).restore(renew=["kin"])


@pytest.mark.parametrize(("steps", "train"), [(45, 30), (55, 30), (20, 9)])
def test_a_part_whose_stage_is_over_is_refused_and_nothing_written(tmp_path, steps, train):
    """Within the next stage, at the end of all, and when fewer steps are asked for than were done."""
    driver(tmp_path).run(steps)
    before = files(tmp_path)
    with pytest.raises(
        InputError, match=rf"kind cannot begin anew, because train is over at step {steps} .* to extend"
    ):
        driver(tmp_path, stages("split", train)).restore(renew=["kind"])
    assert files(tmp_path) == before


def test_a_part_whose_stage_has_just_done_its_last_step_is_refused(tmp_path):
    """As after kill -9 between the checkpoint of its end and the next one."""
    run = driver(tmp_path)
    run.run()
    for path in run.checkpoints.newest_first():
        if "end-of-train" not in path.name:
            path.unlink()
    with pytest.raises(InputError, match="because train is over at step 40"):
        driver(tmp_path, stages("split")).restore(renew=["kind"])


def test_a_stage_that_is_extended_goes_on_from_its_end_begun_anew(tmp_path):
    driver(tmp_path).run()
    longer = driver(tmp_path, stages("split", train=40))
    assert longer.restore(renew=["kind"]) == 40
    again = driver(tmp_path, stages("split", train=40))
    assert again.restore() == 40
    assert_same_state(again.state, longer.state)
    again.run()
    assert again.step_count == 65
    assert int(again.own("train")["steps"][0]) == 40


def test_before_its_stage_has_begun_a_part_is_free(tmp_path):
    driver(tmp_path).run(5)
    rows = Rows()
    again = driver(tmp_path, stages("split"), rows=[rows])
    assert again.restore(renew=["kind"]) == 5
    assert ("resumed", "train has not begun; its kind begins with it") in rows.events
    again.run(1)
    assert driver(tmp_path, stages("plain")).restore() == 6


def test_a_part_begun_anew_does_not_stand_in_the_way_of_what_came_before_it(tmp_path):
    """The end of a stage with a criterion is looked at whenever the run is resumed, and knows the old kind."""

    def both(kind, threshold=7):
        relax = Counting(name="relax", by=-1, convergence=Reached("n", threshold))
        return relax + Descent(name="train", n_steps=30, kind=kind)

    systems = {**walkers(), "n": np.array([10], np.int32)}
    driver(tmp_path, both("plain"), systems=systems).run(8)
    assert driver(tmp_path, both("split"), systems=systems).restore(renew=["kind"]) == 8
    assert driver(tmp_path, both("split"), systems=systems).restore() == 8
    assert driver(tmp_path, both("split", threshold=5), systems=systems).restore() == 4
