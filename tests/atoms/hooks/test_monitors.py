"""Hooks that measure: the drift of energies, and where the time goes."""

import numpy as np
import pytest
from hook_toys import SPRINGS, batch_of_clusters, clusters, relax_and_heat, streaming

from adiabat.atoms import NVE, EnergyDriftMonitor, FusedStage, PhaseProfiler, Profiler
from adiabat.engine import AbstractCallback, HookStageEnum
from adiabat.errors import InputError


class Pumping(NVE):
    """Adds heat to the conserved quantity: so many eV a step for each atom, in system 2 only."""

    rate = 1e-4

    def conserved(self, batch):
        heat = self.rate * batch.stage_age * batch.n_atoms
        return np.float64(1.0) * batch.system_id + (batch.system_id == 2) * heat


def test_the_drift_is_the_slope_of_each_system_whoever_else_comes_and_goes():
    """In eV per atom and ps; every system has an energy of its own, which a slot's next one must not inherit."""
    monitor = EnergyDriftMonitor(1e-3, warmup=10)
    stage = FusedStage([(0, Pumping(SPRINGS, dt=0.5, n_steps=30))])
    driver, _ = streaming(stage, clusters(5), 2, callbacks=[monitor])
    with pytest.warns(RuntimeWarning, match=r"system 2 in pumping by 0\.2 eV per atom and ps \(limit 0\.001\)") as told:
        driver.run()
    assert len(told) == 1
    expected = {(i, "pumping"): 0.2 if i == 2 else 0.0 for i in range(5)}
    assert monitor.drifts == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dt", [[0.5, 0.5, 0.25], lambda step: 0.25 + 0.0 * step])
def test_the_drift_knows_time_steps_of_all_kinds(dt):
    monitor = EnergyDriftMonitor(1.0)
    Pumping(SPRINGS, dt=dt, hooks=[monitor]).run(batch_of_clusters(3), 20)
    assert monitor.drifts[2, "pumping"] == pytest.approx(0.4)


def test_a_run_can_be_stopped_by_a_drift_and_stages_without_one_are_left_alone():
    monitor = EnergyDriftMonitor(1e-3, "stop", warmup=10)
    dynamics = Pumping(SPRINGS, dt=0.5, hooks=[monitor])
    dynamics.run(batch_of_clusters(3), 5000)
    assert 10 <= dynamics.step_count < 5000
    quiet = EnergyDriftMonitor(1e-9)
    relax_and_heat(relax_hooks=[quiet]).run(batch_of_clusters())
    assert quiet.drifts == {}


def test_velocity_verlet_does_not_drift():
    """A hundred times less than with a time step ten times as long, because it is of second order."""
    worst = []
    for dt in (0.02, 0.2):
        monitor = EnergyDriftMonitor(10.0, warmup=50)
        NVE(SPRINGS, dt=dt, hooks=[monitor]).run(batch_of_clusters(), round(40 / dt))
        worst.append(max(abs(drift) for drift in monitor.drifts.values()))
    assert worst[0] < 0.03 * worst[1]


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match=r"threshold is 0\.0, action 'warn'"):
        EnergyDriftMonitor(0.0)
    with pytest.raises(InputError, match="frequency of PhaseProfiler"):
        PhaseProfiler(0)


class Sleeps(AbstractCallback):
    """A callback that takes time, so that there is some to be found."""

    frequency = 50

    def on_step_end(self, step, log_data, driver):
        import time

        time.sleep(0.02)


def test_a_profile_accounts_for_all_programs_and_steps_and_for_the_host():
    profiler = Profiler()
    fused = FusedStage([(0, NVE(SPRINGS, dt=0.1, n_steps=120))], hooks=[profiler, Sleeps()])
    fused.run(batch_of_clusters())
    (account,) = profiler.programs.values()
    assert list(profiler.programs) == ["nve"]
    assert account.steps == 120
    assert 3 <= account.calls <= 120
    assert 0 < account.seconds < profiler.wall
    assert profiler.host >= 3 * 0.02
    assert profiler.compiling["nve"] > 0
    inside = account.seconds + sum(profiler.compiling.values())
    assert inside + profiler.host == pytest.approx(profiler.wall)
    lines = str(profiler).splitlines()
    assert [line.split()[0] for line in lines] == ["program", "nve", "compiling", "host"]


def test_a_profile_has_an_account_for_each_set_of_sub_stages():
    profiler = Profiler()
    fused = relax_and_heat(30)
    fused.register_fused_hook(profiler)
    after = fused.run(batch_of_clusters())
    assert sum(account.steps for account in profiler.programs.values()) == fused.step_count
    assert next(iter(profiler.programs)) == "fire"
    assert list(profiler.programs)[-1] == "nvt-langevin"
    assert set(np.asarray(after.status).tolist()) == {2}


def test_phases_are_timed_at_some_steps_without_changing_what_is_computed():
    profiler = PhaseProfiler(10)
    profiled = NVE(SPRINGS, dt=0.1, hooks=[profiler]).run(batch_of_clusters(), 50)
    plain = NVE(SPRINGS, dt=0.1).run(batch_of_clusters(), 50)
    np.testing.assert_allclose(profiled.positions, plain.positions, rtol=1e-12)
    assert {name: account.steps for name, account in profiler.phases.items()} == {
        "pre_update": 4, "compute": 4, "post_update": 4
    }  # fmt: skip
    assert all(account.seconds > 0 for account in profiler.phases.values())
    assert HookStageEnum.AFTER_STEP not in PhaseProfiler.stages
