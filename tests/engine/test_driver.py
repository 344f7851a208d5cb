"""The loop: how many steps, in what pieces, for how many systems."""

import jax
import numpy as np
import pytest
from engine_toys import Count, Idle, Reached, Rows, Walk, assert_same_state, walkers

from adiabat.engine import AbstractCallback, Driver, MetricsRecorder
from adiabat.errors import InputError
from adiabat.io import ConsoleLines


def numbers(n_systems=1):
    return {"n": np.zeros(n_systems, np.int32)}


def test_run_does_the_steps_asked_for_and_step_count_grows_over_runs():
    driver = Driver(Count(name="count"), systems=numbers())
    driver.run(7)
    driver.run(5)
    assert driver.step_count == 12
    assert int(driver.state.systems["n"][0]) == 12


def test_run_without_number_ends_when_all_have_graduated():
    driver = Driver(Count(name="a", n_steps=300) + Count(name="b", n_steps=4, by=100), systems=numbers())
    driver.run()
    assert driver.done
    assert driver.step_count == 304
    assert int(driver.state.systems["n"][0]) == 700
    assert driver.state.own == {}


def test_steps_past_the_end_are_not_done():
    driver = Driver(Count(name="a", n_steps=3), systems=numbers())
    assert list(driver.loop(10))[-1][0] == 2
    assert driver.step_count == 3


def test_the_loop_yields_every_nth_committed_step_and_the_last():
    driver = Driver(Count(name="count"), systems=numbers())
    seen = [(step, int(state.systems["n"][0])) for step, state in driver.loop(10, every=4)]
    assert seen == [(3, 4), (7, 8), (9, 10)]


@pytest.mark.parametrize("n_systems", [1, 3])
def test_results_do_not_depend_on_how_steps_are_cut_into_programs(n_systems):
    def final(**how):
        rows = Rows()
        stage = Walk(name="a", n_steps=20) + Walk(name="b", n_steps=500, width=0.1)
        driver = Driver(stage, seed=3, systems=walkers(n_systems), callbacks=[rows], chunk_seconds=how["chunk"])
        for _ in driver.loop(310, every=how["every"]):
            pass
        return driver.state, rows.without_times(), rows.blocks

    state, rows, blocks = final(chunk=10.0, every=None)
    assert max(blocks) > 100 * n_systems, "the free run should take long programs"
    for how in ({"chunk": 10.0, "every": 1}, {"chunk": 1e-9, "every": None}, {"chunk": 10.0, "every": 7}):
        again, rows_again, blocks_again = final(**how)
        assert max(blocks_again) <= 7 * n_systems
        assert_same_state(state, again)
        assert rows == rows_again


def test_a_system_does_not_know_its_neighbours():
    """To the bit in batches of one size; up to rounding in a batch of another size."""

    def run(systems):
        driver = Driver(Walk(name="a", n_steps=30) + Walk(name="b", n_steps=10), systems=systems)
        driver.run()
        return driver.state.systems

    batch, alone, others = run(walkers(3)), run(walkers(1)), walkers(3)
    others["x"][1:] += 2.0
    others["parameter"][1:] = -7.0
    among_others = run(others)
    for name in ("x", "parameter"):
        np.testing.assert_array_equal(batch[name][0], among_others[name][0])
        np.testing.assert_allclose(batch[name][0], alone[name][0], rtol=1e-6)  # forty steps in float32
        assert not np.array_equal(batch[name][0], batch[name][1])


def test_systems_converge_one_by_one_and_the_others_go_on():
    """Each leaves `a` when its number has come down to 10, takes 3 steps of `b`, and then rests."""
    start = {"n": np.array([12, 15, 11], np.int32)}
    criterion = Reached("n", 10)
    stage = Count(name="a", by=-1, convergence=criterion) + Count(name="b", by=100, n_steps=3)
    rows = Rows()
    driver = Driver(stage, systems=start, callbacks=[rows])
    states = [state for _, state in driver.loop()]
    # The metric is the number before the update: the step that shows 10 has led to 9.
    np.testing.assert_array_equal(driver.state.systems["n"], [309, 309, 309])
    np.testing.assert_array_equal(driver.state.clock.age, [3 + 3, 6 + 3, 2 + 3])
    np.testing.assert_array_equal(driver.state.clock.status, [2, 2, 2])
    assert any(set(np.asarray(state.clock.status)) == {0, 1, 2} for state in states), "three places at once"
    assert set(states[0].own) == {"a"}
    assert states[-1].own == {}
    for system, steps in enumerate([3, 6, 2]):
        mine = [row for row in rows.rows if row["system"] == system]
        assert [row["stage"] for row in mine] == ["a"] * steps + ["b"] * 3
        assert [row["stage_step"] for row in mine] == [*range(steps), 0, 1, 2]


def test_a_converged_system_moves_on_one_stage_a_step():
    """A budget of exactly 5 is 5 steps, even if the next stage's criterion is true at once."""
    stage = (
        Count(name="relax", convergence=Reached("n", 1e9))
        + Count(name="run", n_steps=5)
        + Count(name="relax", convergence=Reached("n", 1e9))
    )
    rows = Rows()
    driver = Driver(stage, systems=numbers(), callbacks=[rows])
    driver.run()
    assert [row["stage"] for row in rows.rows] == ["relax", *["run"] * 5, "relax-2"]


def test_convergence_is_evaluated_as_often_as_it_says():
    criterion = Reached("n", -1, frequency=4)
    Driver(Count(name="a", convergence=criterion), systems=numbers()).run(10)
    assert criterion.evaluated == [4, 8]


def test_a_stage_without_steps_is_passed_by():
    stage = Count(name="a", n_steps=0) + Count(name="b", n_steps=2) + Count(name="c", n_steps=0)
    rows = Rows()
    driver = Driver(stage, systems=numbers(), callbacks=[rows])
    driver.run()
    assert {row["stage"] for row in rows.rows} == {"b"}
    assert driver.done


def test_rows_have_the_identity_of_each_step_and_plain_numbers():
    rows = Rows()
    Driver(Walk(name="walk"), systems=walkers(), callbacks=[rows]).run(3)
    assert [row["step"] for row in rows.rows] == [0, 1, 2]
    assert list(rows.rows[0]) == ["step", "stage", "stage_step", "attempt", "energy", "spread", "seconds"]
    assert all(type(row["spread"]) is float for row in rows.rows)
    assert np.float32(rows.rows[0]["spread"]) == rows.rows[0]["spread"] or "e" not in repr(rows.rows[0]["spread"])


def test_rows_reach_loggers_without_a_stop_at_every_step():
    rows = Rows()
    driver = Driver(Count(name="count"), systems=numbers(), callbacks=[rows])
    driver.run(1000)
    assert [row["n"] for row in rows.rows] == list(range(1000))
    assert len(rows.blocks) < 20


def test_own_rows_are_made_on_entry_and_dropped_on_exit():
    driver = Driver(Walk(name="a", n_steps=2) + Walk(name="b", n_steps=2), systems=walkers())
    own = [set(state.own) for _, state in driver.loop()]
    assert own == [{"a"}, {"b"}, {"b"}, set()]


def test_a_phase_that_changes_a_dtype_is_refused_with_the_name_of_the_array():
    class Bad(Count):
        def post_update(self, state):
            return state.replace(systems={"n": state.systems["n"] * 1.5})

    with pytest.raises(TypeError, match=r"stage 'bad' changes its systems.*\['n'\]: int32\[1\] before, float64\[1\]"):
        Driver(Bad(name="bad"), systems=numbers()).run(1)


def test_an_init_that_changes_the_systems_structure_is_refused():
    class Bad(Count):
        def init(self, state, keys):
            return {**state.systems, "more": state.systems["n"]}, ()

    with pytest.raises(TypeError, match=r"init of stage 'bad' changes the systems.*more"):
        Driver(Bad(name="bad"), systems=numbers()).run(1)


@pytest.mark.parametrize("systems", [{"a": np.zeros((2, 3)), "b": np.zeros(3)}, {"a": np.float64(1.0)}])
def test_systems_without_a_common_first_axis_are_refused(systems):
    with pytest.raises(InputError, match="leading system axis"):
        Driver(Idle(name="idle"), systems=systems)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(InputError, match="seed"):
        Driver(Idle(name="idle"), seed=seed)


def test_64_bit_types_are_there_where_asked_for_and_no_global_flag_is_set():
    driver = Driver(Walk(name="walk"), systems=walkers())
    driver.run(2)
    assert driver.state.systems["parameter"].dtype == np.float64
    assert driver.state.systems["x"].dtype == np.float32
    assert not jax.config.jax_enable_x64


def test_a_run_inside_a_run_is_refused():
    class Nested(AbstractCallback):
        def on_step_start(self, step, log_data, driver):
            driver.run(1)

    with pytest.raises(RuntimeError, match="running already"):
        Driver(Idle(name="idle"), callbacks=[Nested()]).run(1)


def test_the_steps_of_a_step_can_be_done_by_hand():
    by_hand = Driver(Walk(name="walk"), seed=5, systems=walkers())
    for _ in range(3):
        by_hand.reset_step()
        by_hand.compute_loss_and_update()
        assert np.shape(by_hand.direction) == (1,)
        assert by_hand.loss[0] == by_hand.state.metrics["energy"][0]
        by_hand.update_parameters()
    assert by_hand.step_count == 3
    in_a_run = Driver(Walk(name="walk"), seed=5, systems=walkers())
    in_a_run.run(3)
    np.testing.assert_allclose(by_hand.state.systems["x"], in_a_run.state.systems["x"], rtol=1e-6)
    np.testing.assert_allclose(by_hand.state.systems["parameter"], in_a_run.state.systems["parameter"], rtol=1e-6)


def test_programs_compiled_ahead_in_a_thread_are_the_ones_that_run():
    import threading

    events = Rows()
    driver = Driver(Walk(name="a", n_steps=2) + Walk(name="b", n_steps=2), systems=walkers(), callbacks=[events])
    thread = threading.Thread(target=driver.compile)
    thread.start()
    thread.join()
    compiled = len([kind for kind, _ in events.events if kind == "compile_finished"])
    assert compiled == 4
    driver.run()
    assert len([kind for kind, _ in events.events if kind == "compile_finished"]) == compiled


def test_timings_tell_steps_and_seconds_by_stage_with_compilation_apart():
    driver = Driver(Walk(name="a", n_steps=3) + Walk(name="b", n_steps=4), systems=walkers())
    driver.run()
    assert driver.timings.steps == {"a": 3, "b": 4}
    assert set(driver.timings.seconds) == set(driver.timings.compiling) == {"a", "b"}
    assert driver.timings.seconds["a"] < driver.timings.compiling["a"]


@pytest.mark.parametrize("n_systems", [1, 3])
def test_each_phase_is_traced_once_for_a_program(n_systems):
    """Tracing a real network takes seconds."""
    traced = []

    class Noted(Walk):
        def init(self, state, keys):
            traced.append("init")
            return super().init(state, keys)

        def compute(self, state):
            traced.append("compute")
            return super().compute(state)

    driver = Driver(Noted(name="walk", n_steps=5), systems=walkers(n_systems))
    driver.compile()
    driver.run()
    assert sorted(traced) == ["compute", "init"]


def test_out_is_a_folder_for_metrics_that_a_second_run_appends_to(tmp_path):
    driver = Driver(Count(name="count"), systems=numbers())
    driver.run(3, out=tmp_path / "metrics")
    driver.run(2, out=str(tmp_path / "metrics"))
    lines = (tmp_path / "metrics" / "count.csv").read_text().splitlines()
    assert lines[0] == "step,stage,stage_step,attempt,n,seconds"
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "1", "2", "3", "4"]
    assert len((tmp_path / "metrics" / "count.jsonl").read_text().splitlines()) == 5


def test_out_of_an_earlier_run_is_not_written_over(tmp_path):
    Driver(Count(name="count"), systems=numbers()).run(3, out=tmp_path)
    with pytest.raises(InputError, match="not empty"):
        Driver(Count(name="count"), systems=numbers()).run(3, out=tmp_path)


def test_rows_can_carry_the_name_of_the_run_and_appear_on_the_console(tmp_path):
    import io

    stream = io.StringIO()
    recorder = MetricsRecorder(tmp_path, ["jsonl"], run="LiH-1", console=ConsoleLines(["n"], stream=stream))
    Driver(Count(name="count"), systems=numbers(), callbacks=[recorder]).run(2)
    assert (tmp_path / "count.jsonl").read_text().startswith('{"run": "LiH-1", "step": 0')
    assert stream.getvalue().startswith("count 0: n 0\n")
