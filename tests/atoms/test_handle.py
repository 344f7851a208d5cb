"""The handle of dynamics: what users register, ask and call, besides running batches."""

import jax
import numpy as np
import pytest
from toy_potentials import Springs

from adiabat.atoms import FIRE, NVE, AtomicData, Batch, ConvergenceHook, FusedStage, MemorySink, SizeAwareSampler
from adiabat.engine import HookStageEnum
from adiabat.errors import InputError

SPRINGS = Springs()
CONVERGED = ConvergenceHook.from_fmax(1e-2)


def clusters(count, seed=0):
    rng = np.random.default_rng(seed)
    return [AtomicData(rng.normal(size=(n, 3)), np.full(n, 4)) for n in rng.integers(2, 6, count).tolist()]


def batch_of_clusters(count=3):
    return Batch.from_data_list(clusters(count), n_slot_atoms=5)


def relax(**given):
    return FIRE(SPRINGS, convergence_hook=CONVERGED, **given)


class CountsSteps:
    """Adds one to the field `mine` of every system at every step, compiled in."""

    stage, frequency, traced = HookStageEnum.AFTER_STEP, 1, True

    def __call__(self, batch, dynamics):
        return batch.replace(mine=batch.mine + 1.0)


# --- bookkeeping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["dynamics", "fused"])
def test_a_bookkeeping_key_goes_with_its_system_through_refills_into_the_sink(whose):
    sink, dynamics = MemorySink(), relax(hooks=[CountsSteps()])
    fused = FusedStage([(0, dynamics)], sampler=SizeAwareSampler(clusters(7)), sinks=[sink], max_batch_size=2)
    {"dynamics": dynamics, "fused": fused}[whose].register_bookkeeping_key("mine", lambda n: np.full((n, 1), 100.0))
    assert fused.run() is None
    assert len(sink) == 7
    counted = {data.system_id: data.mine.tolist() for data in sink}
    assert counted == {data.system_id: [100.0 + data.info["steps"]] for data in sink}
    assert len({tuple(count) for count in counted.values()}) > 1


def test_a_bookkeeping_key_belongs_to_one_object_alone():
    one, other = relax(), relax()
    one.register_bookkeeping_key("mine", lambda n: np.zeros((n, 1)))
    assert one.run(batch_of_clusters(), 2).mine.shape == (3, 1)
    assert "mine" not in other.run(batch_of_clusters(), 2).system_fields
    assert "mine" not in relax().run(batch_of_clusters(), 2).system_fields
    brought = batch_of_clusters().replace(system_fields={"mine": np.full((3, 1), 5.0)})
    np.testing.assert_array_equal(one.run(brought, 2).mine, np.full((3, 1), 5.0))
    assert (relax() + (FusedStage([(0, one)]) + relax())).run(batch_of_clusters()).mine.shape == (3, 1)


def test_bookkeeping_keys_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="'positions' cannot be a bookkeeping key"):
        relax().register_bookkeeping_key("positions", lambda n: np.zeros((n, 1)))
    with pytest.raises(InputError, match=r"'mine' gives \(2,\) for 2 systems; expected \(2, 1\)"):
        relax().register_bookkeeping_key("mine", np.zeros)


# --- asking -------------------------------------------------------------------------------------------------


def test_a_stage_says_what_is_in_it_and_where_it_stands():
    fire = relax(max_batch_size=4)
    assert (fire.active_batch, fire.active_batch_size, fire.room_in_active_batch, fire.done) == (None, 0, 4, False)
    fire.run(batch_of_clusters(), 2)
    assert (fire.active_batch_size, fire.room_in_active_batch, fire.active_batch_has_room) == (3, 1, True)
    assert fire.active_batch.num_graphs == 3
    assert (fire.inflight_mode, fire.done) == (False, False)
    fire.run(batch_of_clusters(4), 2000)
    assert (fire.active_batch_has_room, fire.done) == (False, True)
    assert (fire.is_first_stage, fire.is_final_stage, fire.has_neighbor) == (True, True, False)
    assert (fire.local_rank, fire.global_rank) == (0, 0)
    middle = relax(prior_rank=0, next_rank=2)
    assert (middle.is_first_stage, middle.is_final_stage, middle.has_neighbor) == (False, False, True)


def test_every_stage_has_the_defaults_of_one_that_stands_alone():
    for stage in (relax(), FusedStage([(0, relax())])):
        assert (stage.prior_rank, stage.next_rank, stage.max_batch_size, stage.refill_frequency) == (-1, -1, 100, 1)
        assert (stage.sampler, stage.sinks, stage.buffer_config, stage.device_type) == (None, (), None, None)
        assert (stage.comm_mode, stage.debug_mode) == ("async_recv", False)
    assert FusedStage([(0, relax())]).convergence_check_frequency == 1
    with pytest.raises(ValueError, match="comm_mode is 'async'; expected one of sync, async_recv, fully_async"):
        relax(comm_mode="async")
    with pytest.raises(ValueError, match="refill_frequency is 0"):
        relax(refill_frequency=0)


def test_a_device_that_is_not_there_is_refused_and_one_that_is_is_used():
    with pytest.raises(RuntimeError, match=r"there is no device of the type 'abacus'; there is .*cpu"):
        relax(device_type="abacus")
    fire = relax(device_type="cpu")
    assert fire.device.platform == "cpu"
    after = fire.run(batch_of_clusters(), 2)
    assert after.positions.devices() == {fire.device}
    assert (fire + relax()).device_type == "cpu"


def test_sub_stages_on_different_devices_are_refused(monkeypatch):
    there = jax.local_devices()
    monkeypatch.setattr("adiabat.atoms.stage_place.jax.local_devices", lambda backend=None: there)
    with pytest.raises(ValueError, match="different devices, cpu and tpu"):
        relax(device_type="cpu") + relax(device_type="tpu")


def test_dynamics_say_what_they_need_and_give():
    fire = relax()
    assert fire.__needs_keys__ == {"energy", "forces"}
    assert fire.__provides_keys__ == {"energy", "forces", "stress"}
    assert fire.model_is_conservative


# --- hooks of a fused stage ---------------------------------------------------------------------------------


class Notes:
    """A hook object at all points."""

    frequency = 1
    stages = tuple(HookStageEnum)

    def __init__(self, name, notes):
        self.name, self.notes = name, notes

    def __call__(self, batch, dynamics):
        mask = None if dynamics.current_mask is None else dynamics.current_mask.tolist()
        self.notes.append((dynamics.step_count, dynamics.current_hook_stage.name, self.name, mask))


def test_hooks_of_a_fused_stage_are_called_at_all_points_outside_in_and_inside_out():
    notes = []
    fall = NVE(SPRINGS, dt=0.1, n_steps=3, hooks=[Notes("fall", notes)])
    fused = FusedStage([(0, fall), (1, relax(n_steps=2, hooks=[Notes("relax", notes)]))])
    fused.register_fused_hook(Notes("fused", notes))
    fused.run(batch_of_clusters())
    before = [note for note in notes if note[0] == 1 and note[1] != "AFTER_STEP"]  # of the second step
    members, nobody = [True] * 3, [False] * 3
    inward = [("fused", None), ("fall", members), ("relax", nobody)]
    outward = [*inward[1:], inward[0]]
    expected = []
    for stage in list(HookStageEnum)[:7]:
        order = outward if stage.name in ("AFTER_PRE_UPDATE", "AFTER_COMPUTE", "AFTER_POST_UPDATE") else inward
        expected += [(1, stage.name, *who) for who in order]
    assert before == expected
    ends = [note[1:] for note in notes if note[1] == "AFTER_STEP"]
    assert [name for _, name, _ in ends] == ["fall", "relax", "fused"] * fused.step_count
    # After the third step they have moved on; the last two, which graduate, end where nobody is.
    assert [mask for _, name, mask in ends if name == "relax"] == [nobody, nobody, members, members, nobody]
    primed = [note for note in notes if note[0] == 0 and note[1].endswith("_COMPUTE")]
    assert [name for _, _, name, _ in primed[:4]] == ["fused", "fall", "fall", "fused"]


def test_hooks_on_convergence_are_told_who_converged_in_their_sub_stage():
    notes = []
    hook = Notes("relax", notes)
    hook.stages = (HookStageEnum.ON_CONVERGE,)
    fused = FusedStage([(0, relax(hooks=[hook])), (1, NVE(SPRINGS, dt=0.1, n_steps=3))])
    fused.run(batch_of_clusters())
    assert np.sum([mask for _, _, _, mask in notes], axis=0).tolist() == [1, 1, 1]


def test_a_hook_at_many_places_is_opened_and_closed_once_a_run():
    opened = []

    class Opened(Notes):
        stages = (HookStageEnum.BEFORE_STEP, HookStageEnum.AFTER_STEP)

        def __enter__(self):
            opened.append("open")
            return self

        def __exit__(self, *_):
            opened.append("close")

    hook = Opened("everywhere", [])
    fused = FusedStage([(0, relax(n_steps=2, hooks=[hook])), (1, relax(n_steps=2, hooks=[hook]))], hooks=[hook])
    for _ in range(2):
        fused.run(batch_of_clusters())
    assert opened == ["open", "close"] * 2
    assert len(hook.notes) == fused.step_count * 2 * 3


def test_the_step_count_of_each_sub_stage_grows_with_that_of_the_whole():
    first, second = relax(n_steps=4), relax(n_steps=3)
    fused = FusedStage([(0, first), (1, second), (2, first)])
    batch = batch_of_clusters()
    fused.run(batch)
    assert fused.step_count == first.step_count == second.step_count == 11
    fused.step(batch)
    assert fused.step_count == first.step_count == second.step_count == 12
    first.run(batch, 2)
    assert (first.step_count, second.step_count, fused.step_count) == (14, 12, 12)


def test_a_sum_keeps_what_its_terms_were_given():
    sampler, sinks, hook = SizeAwareSampler(clusters(2)), [MemorySink(), MemorySink()], Notes("hook", [])
    first = FusedStage([(0, relax())], hooks=[hook], sinks=sinks[:1], n_steps=7, max_batch_size=9, compile_step=True)
    total = first + relax(sampler=sampler, sinks=sinks[1:], max_batch_size=5, refill_frequency=4)
    assert (total.hooks, total.sinks, total.n_steps, total.compile_step) == ([hook], tuple(sinks), 7, True)
    assert (total.sampler, total.max_batch_size, total.refill_frequency) == (sampler, 5, 4)


# --- refills ------------------------------------------------------------------------------------------------


def test_stepping_and_refilling_by_hand_gives_what_a_run_in_flight_gives():
    data, expected, sink = clusters(7), MemorySink(), MemorySink()
    FusedStage([(0, relax())], sampler=SizeAwareSampler(data), sinks=[expected], max_batch_size=2).run()
    sampler = SizeAwareSampler(data, max_batch_size=2)
    fused = FusedStage([(0, relax())], sampler=sampler, sinks=[sink], max_batch_size=2)
    batch = sampler.build_initial_batch(n_slot_atoms=8)
    sizes = set()
    for _ in range(3000):
        batch, graduated = fused.step(batch)
        if graduated is not None:
            batch = fused.refill_check(batch, fused.exit_status)
            if batch is None:
                break
            sizes.add(batch.num_graphs)
    assert batch is None
    assert fused.done
    assert sizes == {1, 2}
    assert fused.ledger.counts["done"] == 7
    for i in range(7):
        np.testing.assert_array_equal(sink.find(i).positions, expected.find(i).positions)
        assert sink.find(i).info == expected.find(i).info


def test_a_refill_loses_nothing_when_sinks_are_full():
    data, sink = clusters(4), MemorySink(capacity=1)
    sampler = SizeAwareSampler(data, max_batch_size=2)
    fused = FusedStage([(0, relax(n_steps=2))], sampler=sampler, sinks=[sink])
    batch = fused.run(sampler.build_initial_batch())
    assert batch.status.tolist() == [1, 1]
    after = fused.refill_check(batch)
    assert len(sink) == 1
    (waiting,) = after.to_data_list()
    assert sorted([waiting.system_id, *sink.system_ids]) == sorted(batch.system_id.tolist())
    assert fused.ledger.counts == {"queued": 2, "active": 1, "done": 0, "unfinished": 1, "failed": 0}
    with_room = [sink, MemorySink()]
    fused.sinks = with_room
    assert fused.run(fused.refill_check(after)).num_graphs == 2
    assert with_room[1].system_ids == [waiting.system_id]


def test_a_refill_without_a_sampler_is_refused():
    with pytest.raises(RuntimeError, match="FusedStage has no sampler"):
        FusedStage([(0, relax())]).refill_check(batch_of_clusters(), 1)


def test_a_dynamics_with_a_sampler_runs_in_flight_and_closes_its_sinks(tmp_path):
    closed = []

    class Sink(MemorySink):
        def close(self):
            closed.append(len(self))

    with relax(sampler=SizeAwareSampler(clusters(5)), sinks=[Sink()], max_batch_size=2) as fire:
        assert fire.inflight_mode
        assert fire.run() is None
        assert fire.done
        assert fire.ledger.counts["done"] == 5
    assert closed == [5]
    with pytest.raises(ValueError, match="FIRE without a sampler needs a batch to run"):
        relax().run()
    with pytest.raises(ValueError, match="with neither n_steps nor a convergence_hook lets no system go"):
        FIRE(SPRINGS, sampler=SizeAwareSampler(clusters(5))).run()


def test_refills_that_wait_change_no_result():
    data, sinks, steps = clusters(7), [], []
    for frequency in (1, 40):
        sinks.append(MemorySink())
        fused = FusedStage(
            [(0, relax())],
            sampler=SizeAwareSampler(data),
            sinks=[sinks[-1]],
            max_batch_size=3,
            refill_frequency=frequency,
        )
        fused.run()
        steps.append(fused.step_count)
    assert steps[1] > steps[0]
    for i in range(7):
        np.testing.assert_array_equal(sinks[0].find(i).positions, sinks[1].find(i).positions)
