"""The order in which everything that can be hooked in is called, and what hooks can do."""

import numpy as np
import pytest
from engine_toys import Count, Fragile, Notes, Reached, Rows, Walk, walkers

from adiabat.engine import AbstractCallback, Driver, HookStageEnum
from adiabat.errors import InputError

STEP = [
    "on_step_start",
    "on_compute_update_start",
    "on_compute_update_end",
    "before_parameter_update",
    "on_step_end",
]


def numbers(n_systems=1):
    return {"n": np.zeros(n_systems, np.int32)}


class Hook:
    """A hook object that notes where it was called."""

    def __init__(self, *stages, notes, name="", frequency=1, change=None):
        self.stages, self.frequency = stages, frequency
        self.notes, self.name, self.change = notes, name, change

    def __call__(self, batch, driver):
        self.notes.append((self.name, driver.current_hook_stage.name, driver.step_count))
        return None if self.change is None else self.change(batch)


class StepEnds(AbstractCallback):
    """Counts step ends and nothing else."""

    def __init__(self, frequency=1):
        self.frequency, self.steps = frequency, []

    def on_step_end(self, step, log_data, driver):
        self.steps.append((step, driver.step_count, dict(log_data)))


def test_a_callback_is_called_at_every_point_of_a_step_in_order():
    notes = Notes()
    Driver(Count(name="count"), systems=numbers(), callbacks=[notes]).run(2)
    assert notes.notes == [
        ("on_run_start", 0),
        *((method, step) for step in (0, 1) for method in STEP),
        ("on_run_end", 2),
    ]


def test_all_points_of_a_step_in_the_order_of_the_list():
    notes = []

    class Callback(Notes):
        def _note(self, method, step):
            notes.append(method)

    every_point = Hook(*HookStageEnum, notes=notes)
    stage = Count(name="count", convergence=Reached("n", 1e9))
    Driver(stage, systems=numbers(), callbacks=[Callback(), every_point]).run()
    names = [note if isinstance(note, str) else note[1] for note in notes]
    assert names == [
        "on_run_start",
        "on_step_start", "BEFORE_STEP",
        "on_compute_update_start",
        "BEFORE_PRE_UPDATE", "AFTER_PRE_UPDATE", "BEFORE_COMPUTE", "AFTER_COMPUTE",
        "on_compute_update_end",
        "before_parameter_update", "BEFORE_POST_UPDATE",
        "AFTER_POST_UPDATE",
        "on_step_end", "AFTER_STEP",
        "on_converge", "ON_CONVERGE",
        "on_run_end",
    ]  # fmt: skip


def test_step_count_grows_between_the_update_and_the_end_of_the_step():
    notes = []
    hook = Hook(HookStageEnum.AFTER_POST_UPDATE, HookStageEnum.AFTER_STEP, notes=notes)
    Driver(Count(name="count"), systems=numbers(), callbacks=[hook]).run(1)
    assert notes == [("", "AFTER_POST_UPDATE", 0), ("", "AFTER_STEP", 1)]


def test_callbacks_run_in_ascending_order_and_as_given_within_one():
    shared = []
    callbacks = [Notes("late", shared, 10), Notes("b", shared), Notes("a", shared), Notes("first", shared, -1)]
    Driver(Count(name="count"), systems=numbers(), callbacks=callbacks).run(1)
    assert [name for name, method, _ in shared if method == "on_step_end"] == ["first", "b", "a", "late"]


def test_hooks_of_sub_stages_are_inside_those_of_the_whole():
    notes = []
    points = (HookStageEnum.BEFORE_COMPUTE, HookStageEnum.AFTER_COMPUTE, HookStageEnum.BEFORE_STEP)
    inner = [Hook(*points, notes=notes, name=name) for name in ("a", "b")]
    outer = Hook(*points, notes=notes, name="whole")
    stage = Count(name="a", hooks=(inner[0],), n_steps=1) + Count(name="b", hooks=(inner[1],), n_steps=1)
    Driver(stage, systems=numbers(), callbacks=[outer]).run(1)
    assert [(name, point) for name, point, _ in notes] == [
        ("whole", "BEFORE_STEP"), ("a", "BEFORE_STEP"), ("b", "BEFORE_STEP"),
        ("whole", "BEFORE_COMPUTE"), ("a", "BEFORE_COMPUTE"), ("b", "BEFORE_COMPUTE"),
        ("a", "AFTER_COMPUTE"), ("b", "AFTER_COMPUTE"), ("whole", "AFTER_COMPUTE"),
    ]  # fmt: skip


def test_a_hook_of_a_sub_stage_is_told_its_members_and_one_of_the_whole_is_not():
    class Masks:
        stage, frequency = HookStageEnum.AFTER_STEP, 1

        def __init__(self):
            self.seen = []

        def __call__(self, batch, driver):
            self.seen.append(driver.current_mask)

    inner, outer = Masks(), Masks()
    stage = Count(name="a", by=-1, convergence=Reached("n", 5), hooks=(inner,)) + Count(name="b", n_steps=9)
    Driver(stage, systems={"n": np.array([5, 7], np.int32)}, callbacks=[outer]).run(2)
    np.testing.assert_array_equal(inner.seen, [[False, True], [False, True]])
    assert outer.seen == [None, None]


@pytest.mark.parametrize("frequency", [1, 3, 7])
def test_a_callback_with_a_frequency_is_called_at_its_steps_only(frequency):
    callback = StepEnds(frequency)
    Driver(Count(name="count"), systems=numbers(), callbacks=[callback]).run(20)
    assert [step for step, _, _ in callback.steps] == list(range(0, 20, frequency))
    assert all(count == step + 1 for step, count, _ in callback.steps)
    assert all(log["n"] == step for step, _, log in callback.steps)


def test_hooks_of_different_frequencies_and_points_each_see_their_steps():
    notes = []
    hooks = [
        Hook(HookStageEnum.BEFORE_STEP, notes=notes, name="before", frequency=5),
        Hook(HookStageEnum.AFTER_COMPUTE, notes=notes, name="inner", frequency=4),
        Hook(HookStageEnum.AFTER_STEP, notes=notes, name="after", frequency=6),
    ]
    rows = Rows()
    Driver(Count(name="count"), systems=numbers(), callbacks=[*hooks, rows]).run(30)
    steps = {name: [count for who, _, count in notes if who == name] for name in ("before", "inner", "after")}
    assert steps == {
        "before": list(range(0, 30, 5)),
        "inner": list(range(0, 30, 4)),
        "after": [step + 1 for step in range(0, 30, 6)],
    }
    assert [row["step"] for row in rows.rows] == list(range(30))
    assert [row["n"] for row in rows.rows] == list(range(30))


@pytest.mark.parametrize("point", list(HookStageEnum)[:-1])
def test_a_hook_at_any_point_can_replace_the_state(point):
    def add_a_thousand(batch):
        return batch.replace(systems={"n": batch.systems["n"] + 1000})

    hook = Hook(point, notes=[], frequency=2, change=add_a_thousand)
    driver = Driver(Count(name="count"), systems=numbers(), callbacks=[hook])
    driver.run(4)
    assert int(driver.state.systems["n"][0]) == 2004


def test_assigning_into_the_state_raises_and_says_what_to_do():
    class Assigns(AbstractCallback):
        def on_step_start(self, step, log_data, driver):
            driver.state.systems = {}

    with pytest.raises(AttributeError, match=r"return a new one, made with \.replace\(systems=\.\.\.\)"):
        Driver(Count(name="count"), systems=numbers(), callbacks=[Assigns()]).run(1)


def test_a_state_of_another_make_is_refused():
    def other(batch):
        return batch.replace(systems={"n": np.zeros(1, np.float32)})

    hook = Hook(HookStageEnum.BEFORE_STEP, notes=[], change=other)
    with pytest.raises(TypeError, match=r"the new state has other systems.*int32\[1\] before, float32\[1\] after"):
        Driver(Count(name="count"), systems=numbers(), callbacks=[hook]).run(1)


def test_what_hooks_put_into_log_data_is_in_the_row_of_the_step():
    class Observes(AbstractCallback):
        def __init__(self, frequency, name):
            self.frequency, self.name = frequency, name

    class AtStart(Observes):
        def on_step_start(self, step, log_data, driver):
            log_data[self.name] = step

    class AtEnd(Observes):
        def on_step_end(self, step, log_data, driver):
            log_data[self.name] = step

    rows = Rows()
    Driver(Count(name="c"), systems=numbers(), callbacks=[AtStart(4, "start"), AtEnd(3, "end"), rows]).run(13)
    assert {row["step"]: row["start"] for row in rows.rows if "start" in row} == {n: n for n in range(0, 13, 4)}
    assert {row["step"]: row["end"] for row in rows.rows if "end" in row} == {n: n for n in range(0, 13, 3)}


def test_a_plain_function_runs_before_the_update_and_sees_the_metrics():
    seen = []

    def look(step, log_data, driver):
        seen.append((step, log_data["energy"], driver.step_count, float(driver.loss[0]), driver.direction.shape))
        return True

    driver = Driver(Walk(name="walk"), systems=walkers(), callbacks=[look])
    driver.run(2)
    assert [(step, count, shape) for step, _, count, _, shape in seen] == [(0, 0, (1,)), (1, 1, (1,))]
    assert all(energy == loss for _, energy, _, loss, _ in seen)


@pytest.mark.parametrize("answer", [False, np.bool_(False), 0])
def test_a_plain_function_that_returns_false_stops_before_the_update(answer):
    driver = Driver(Count(name="count"), systems=numbers())
    driver.run(10, callback=lambda step, log_data, driver: answer if step == 3 else True)
    assert driver.step_count == 3
    assert int(driver.state.systems["n"][0]) == 3


def test_a_plain_function_that_forgets_to_return_does_not_stop_the_run():
    driver = Driver(Count(name="count"), systems=numbers())
    driver.run(5, callback=lambda step, log_data, driver: None)
    assert driver.step_count == 5


def test_something_that_is_no_callback_is_refused_by_name():
    with pytest.raises(TypeError, match="int is no callback; expected an AbstractCallback, a hook object"):
        Driver(Count(name="count"), systems=numbers(), callbacks=[3])


@pytest.mark.parametrize("frequency", [0, -1, 1.5, True, "2"])
def test_a_frequency_that_is_no_positive_integer_is_refused(frequency):
    with pytest.raises(InputError, match="frequency of Hook"):
        Driver(Count(name="c"), callbacks=[Hook(HookStageEnum.AFTER_STEP, notes=[], frequency=frequency)])


def test_a_hook_is_opened_and_closed_once_a_run_however_many_points_it_has():
    class Opened(Hook):
        def __enter__(self):
            self.notes.append("open")
            return self

        def __exit__(self, *_):
            self.notes.append("close")

    class Closed(Hook):
        def close(self):
            self.notes.append("closed")

    notes: list = []
    points = (HookStageEnum.BEFORE_STEP, HookStageEnum.AFTER_STEP)
    hooks = [Opened(*points, notes=notes), Closed(*points, notes=notes)]
    driver = Driver(Count(name="count"), systems=numbers(), callbacks=hooks)
    for _ in range(2):
        driver.run(2)
    assert [note for note in notes if isinstance(note, str)] == ["open", "closed", "close"] * 2


def test_injected_samples_take_the_place_of_sampling_for_one_step():
    samples = np.full((4, 3), 2.0, np.float32)

    class Injects(AbstractCallback):
        def on_compute_update_start(self, step, log_data, driver):
            if step == 1:
                driver.inject_samples(samples)

    rows = Rows()
    driver = Driver(Walk(name="walk"), systems=walkers(), callbacks=[Injects(), rows])
    states = [state for _, state in driver.loop(3)]
    np.testing.assert_array_equal(states[1].systems["x"][0], samples)
    assert rows.rows[1]["energy"] == 12.0
    assert rows.rows[2]["energy"] != 12.0


def test_a_stage_without_samples_refuses_an_injection():
    class Injects(AbstractCallback):
        def on_compute_update_start(self, step, log_data, driver):
            driver.inject_samples(np.zeros(3))

    with pytest.raises(TypeError, match=r"'count' .* draws no samples"):
        Driver(Count(name="count"), systems=numbers(), callbacks=[Injects()]).run(1)


class Clamp:
    """A traced hook: the walkers stay in a box."""

    traced = True

    def __init__(self, *stages, frequency=1):
        self.stages, self.frequency = stages, frequency

    def __call__(self, batch, driver):
        return batch.replace(systems={**batch.systems, "x": batch.systems["x"].clip(-0.1, 0.1)})


def test_a_traced_hook_is_compiled_in_and_costs_no_stop():
    rows = Rows()
    driver = Driver(Walk(name="walk"), systems=walkers(), callbacks=[Clamp(HookStageEnum.AFTER_PRE_UPDATE), rows])
    driver.run(200)
    assert np.abs(driver.state.systems["x"]).max() <= np.float32(0.1)
    assert all(row["energy"] <= 0.0301 for row in rows.rows)
    assert len(rows.blocks) < 20


def test_a_traced_hook_has_a_frequency_in_steps_of_the_driver():
    rows = Rows()
    clamp = Clamp(HookStageEnum.AFTER_PRE_UPDATE, frequency=5)
    driver = Driver(Walk(name="walk", width=2.0), systems=walkers(), callbacks=[rows])
    driver.run(3)
    driver.run(17, callback=clamp)
    clamped = [row["step"] for row in rows.rows if row["energy"] <= 0.0301]
    assert clamped == [5, 10, 15]


def test_a_traced_hook_of_a_sub_stage_touches_its_members_only():
    clamp = Clamp(HookStageEnum.AFTER_POST_UPDATE)
    stage = Walk(name="a", n_steps=20) + Walk(name="b", hooks=(clamp,), n_steps=20)
    driver = Driver(stage, systems=walkers(2), seed=1)
    largest = [float(np.abs(state.systems["x"]).max()) for _, state in driver.loop()]
    assert min(largest[:20]) > 0.11
    assert max(largest[20:]) <= 0.1001


def test_hooks_between_phases_see_a_rejected_attempt_but_its_log_is_dropped():
    class Logs(AbstractCallback):
        def on_compute_update_start(self, step, log_data, driver):
            log_data[f"attempt {driver.step_attempt}"] = True

        def on_compute_update_end(self, step, log_data, driver):
            return None

    rows = Rows()
    driver = Driver(Fragile(name="f", at=(2,)), systems=walkers(), callbacks=[Logs(), rows])
    driver.run(4)
    logged = [[name for name in row if name.startswith("attempt ")] for row in rows.rows]
    assert logged == [["attempt 0"], ["attempt 0"], ["attempt 1"], ["attempt 0"]]


def test_rows_have_their_own_metrics_whoever_looks_at_the_step():
    """The log of a step has the metrics of all systems, those that only another sub-stage reports among them."""

    class Looks(StepEnds):
        def on_step_end(self, step, log_data, driver):
            log_data["seen"] = step

    def rows_of(*callbacks):
        rows = Rows()
        stage = Walk(name="a", n_steps=2) + Walk(name="b", n_steps=2)
        Driver(stage, systems=walkers(2), callbacks=[*callbacks, rows]).run()
        return rows.without_times()

    seen = rows_of(Looks())
    assert [row.pop("seen") for row in seen] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert seen == rows_of()


def test_a_callback_of_several_sub_stages_is_told_once_and_of_their_rows_only():
    class Told(AbstractCallback):
        def __init__(self):
            self.rows, self.starts, self.masks = [], 0, []

        def on_run_start(self, step, driver):
            self.starts += 1

        def on_rows(self, rows, driver):
            self.rows += [(row["stage"], row["system"]) for row in rows]

        def on_program_start(self, step, driver):
            self.masks.append(driver.current_mask.tolist())

    told = Told()
    a, c = (Count(name=name, n_steps=2, hooks=(told,)) for name in "ac")
    Driver(a + Count(name="b", n_steps=2) + c, systems=numbers(2)).run()
    assert told.starts == 1
    assert sorted(set(told.rows)) == [("a", 0), ("a", 1), ("c", 0), ("c", 1)]
    assert len(told.rows) == 8
    assert [True, True] in told.masks
    assert [False, False] in told.masks


def test_a_callback_says_when_a_program_has_to_return():
    class Wants(AbstractCallback):
        def __init__(self):
            self.steps = []

        def on_program_start(self, step, driver):
            self.steps.append(step)
            return 7 - step % 7

    wants = Wants()
    driver = Driver(Count(name="count"), systems=numbers(), callbacks=[wants])
    driver.run(50)
    assert set(range(0, 50, 7)) <= set(wants.steps)
    driver.run(1)
    assert wants.steps[-1] == 50


def test_on_converge_says_who_converged_where_and_in_what_state():
    class Sees(AbstractCallback):
        def __init__(self):
            self.seen = []

        def on_converge(self, step, log_data, driver):
            n = np.asarray(driver.before_moving_on.systems["n"])
            self.seen.append((driver.current_mask.tolist(), n.tolist(), driver.state.clock.status.tolist()))

    class AtPoint(Sees):
        stage = HookStageEnum.ON_CONVERGE
        frequency = 1

        def __call__(self, batch, driver):
            self.on_converge(0, {}, driver)

    sees, inner, other = Sees(), Sees(), Sees()
    a = Count(name="a", by=-1, convergence=Reached("n", 5), hooks=(inner,))
    driver = Driver(a + Count(name="b", n_steps=9, hooks=(other,)), systems={"n": np.array([5, 7])}, callbacks=[sees])
    driver.run(4)
    assert sees.seen == [([True, False], [4, 6], [1, 0]), ([False, True], [6, 4], [1, 1])]
    assert inner.seen == sees.seen
    assert [mask for mask, _, _ in other.seen] == [[False, False], [False, False]]
    assert driver.before_moving_on is None
