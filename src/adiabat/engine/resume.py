"""Finding the checkpoint to go on from: the newest good one, or the end of a stage that now has more to do."""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adiabat.engine.checkpoint import CheckpointDamaged, Checkpoints, Saved, described
from adiabat.engine.compiling import Tell
from adiabat.engine.execution import Execution
from adiabat.engine.fused import Renewable, SubStage
from adiabat.engine.state import State
from adiabat.errors import InputError, OutputError

__all__ = ["CheckpointMisfit", "find_start", "saved_state", "saved_tree", "surroundings"]

BESIDE = ("metrics/", "ledger/", "source/")  # arrays of a checkpoint that are not compared with those of the run
MANY = 4  # differing arrays that are named before the rest is only counted


class CheckpointMisfit(InputError):
    """A checkpoint of a run with other settings or arrays.

    `renewable` names what would have to begin anew for the run to go on from it; empty if that would not do.
    """

    def __init__(self, message: str, renewable: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.renewable = renewable


def saved_tree(state: State) -> dict[str, Any]:
    """What of a committed state a checkpoint holds."""
    clock = state.clock.replace(attempt=np.zeros_like(state.clock.attempt))
    return {"systems": state.systems, "own": state.own, "clock": clock, "metrics": dict(state.metrics)}


@functools.cache
def surroundings() -> dict[str, str]:
    """Versions and devices on which the last bits of a result depend."""
    versions = {name: _version(name) for name in ("adiabat", "jax", "jaxlib", "numpy")}
    devices = jax.devices()
    python, kind = platform.python_version(), devices[0].device_kind
    return {**versions, "python": python, "devices": f"{len(devices)} {kind}"}


def saved_state(saved: Saved, execution: Execution, without: Iterable[Renewable] = ()) -> State:
    """The state that a checkpoint holds, without some parts of the private rows."""
    template = execution.template(saved.manifest["populated"])
    own = dict(template.own)
    for sub, _, key in without:
        if sub.label in own:
            own[sub.label] = {name: part for name, part in own[sub.label].items() if name != key}
    filled = saved.fill(saved_tree(template.replace(own=own)))
    metrics = {path.removeprefix("metrics/"): x for path, x in saved.arrays.items() if path.startswith("metrics/")}
    return State(filled["systems"], filled["own"], filled["clock"], metrics=metrics)


def find_start(
    execution: Execution,
    checkpoints: Checkpoints,
    signature: Mapping[str, Any],
    tell: Tell,
    renew: Collection[str] = (),
) -> Saved | None:
    """Put the execution into the state it is to go on from, begun anew in what `renew` names; None if there is no
    checkpoint.

    Raises:
        CheckpointMisfit: the run that was saved had another signature, or arrays of other shapes; names each
            difference.
        InputError: what is to begin anew does not exist, or belongs to sub-stages that are over.
        OutputError: there are checkpoints, all damaged.
    """
    paths = list(checkpoints.newest_first())
    saved = next((good for path in paths if (good := _intact(checkpoints, path, tell))), None)
    if saved is None:
        if paths:
            raise OutputError(
                f"none of the {len(paths)} checkpoints in {checkpoints.folder} can be read; "
                "remove the folder, or name another one, to start anew"
            )
        return None
    put = functools.partial(_put, execution, signature=signature, renew=renew)
    put(saved)
    started = _extension(execution, checkpoints, saved, put, tell) or saved
    if renew:
        _tell_renewed(execution, started, signature, renew, tell)
    for name, now in surroundings().items():
        then = started.manifest.get("surroundings", {}).get(name, now)
        if then != now:
            tell("resumed", f"{name} was {then} and is {now}: the last bits may differ from an uninterrupted run")
    return started


def _extension(
    execution: Execution, checkpoints: Checkpoints, newest: Saved, put: Callable[[Saved], None], tell: Tell
) -> Saved | None:
    """The end of the first sub-stage that was left and, as it is set now, should not have been yet.

    Leaves the execution in that state, or in the newest one.
    """
    ends = checkpoints.ends()
    here = min((sub.code for sub in execution.populated), default=execution.stage.exit_status)
    for sub in execution.stage.sub_stages:
        path = ends.get(sub.label) if sub.code < here else None
        if path is None or not sub.stage.extendable or not _perhaps_unfinished(checkpoints, path, sub, tell):
            continue
        saved = _intact(checkpoints, path, tell)
        if saved is None:
            continue
        put(saved)
        leaving, _ = execution.leaving()
        if sub.code not in leaving:
            tell("resumed", f"{sub.label} is extended from its end at step {saved.step}")
            return saved
        put(newest)
    return None


def _perhaps_unfinished(checkpoints: Checkpoints, path: Path, sub: SubStage, tell: Tell) -> bool:
    """Whether the steps done do not fill the budget of today; spares reading the arrays of most ends."""
    try:
        done = int(checkpoints.manifest(path)["stage_age"])
    except (CheckpointDamaged, KeyError) as error:
        tell("checkpoint_damaged", f"{path} is damaged ({error}); {sub.label} cannot be extended from it")
        return False
    return sub.stage.n_steps is None or done < sub.stage.n_steps


def _intact(checkpoints: Checkpoints, path: Path, tell: Tell) -> Saved | None:
    try:
        return checkpoints.load(path)
    except CheckpointDamaged as error:
        tell("checkpoint_damaged", f"{path} is damaged ({error}); going back to the one before")
        return None


def _put(execution: Execution, saved: Saved, signature: Mapping[str, Any], renew: Collection[str]) -> None:
    """Restore a checkpoint, or refuse it in one sentence."""
    rooms = saved.manifest.get("room", {})
    if rooms and rooms != json.loads(json.dumps(execution.room(execution.state.systems))):
        execution.make_room(rooms)
    parts = execution.stage.renewable()
    renewed = [part for part in parts if part.name in renew]
    # Of a sub-stage that was not reached nothing is saved that could contradict a setting.
    reached = int(np.max(saved.arrays["clock/status"]))
    free = [*renewed, *(part for part in parts if part.sub.code > reached)]
    settings, arrays = (
        {name: clause for name, clause in found.items() if not any(part.owns(name) for part in free)}
        for found in (
            _differences(saved.manifest["signature"], _as_saved(signature)),
            _array_differences(execution, saved, signature),
        )
    )
    if settings or arrays:
        surplus = [f"{len(arrays) - MANY} more arrays differ"] if len(arrays) > MANY else []
        clauses = [*settings.values(), *list(arrays.values())[:MANY], *surplus]
        owners = [next((part.name for part in parts if part.owns(name)), "") for name in (*settings, *arrays)]
        raise CheckpointMisfit(
            f"the checkpoint {saved.path} does not fit this run: {'; '.join(clauses)} "
            "(go on with the settings of that run, or name another folder to start anew)",
            tuple(dict.fromkeys(owners)) if all(owners) else (),
        )
    execution.restore(saved_state(saved, execution, without=renewed))
    execution.renew(part for part in renewed if part.sub.label in saved.manifest["populated"])


def _tell_renewed(
    execution: Execution, started: Saved, signature: Mapping[str, Any], renew: Collection[str], tell: Tell
) -> None:
    """Say what begins anew; refuse if no step is left that would notice."""
    parts, (leaving, _) = execution.stage.renewable(), execution.leaving()
    for name in renew:
        named = [part for part in parts if part.name == name]
        if not named:
            there = ", ".join(dict.fromkeys(part.name for part in parts)) or "nothing"
            raise InputError(f"there is no {name!r} that could begin anew; what can is {there}")
        going = [part for part in named if np.any(execution.members(part.sub) & ~leaving.get(part.sub.code, False))]
        ahead = [part for part in named if part.sub.code > execution.status.max()]
        for part in going:
            then, now = started.manifest["signature"].get(part.setting), signature.get(part.setting)
            change = "" if then == now else f" ({then} before, {now} now)"
            tell("resumed", f"{part.sub.label}: the {name}'s state begins anew at step {started.step}{change}")
        for part in ahead:
            tell("resumed", f"{part.sub.label} has not begun; its {name} begins with it")
        if not going and not ahead:
            over = " and ".join(part.sub.label for part in named)
            raise InputError(
                f"the {name} cannot begin anew, because {over} is over at step {started.step} ({started.path}); "
                f"give {over} more steps to extend it"
            )


def _array_differences(execution: Execution, saved: Saved, signature: Mapping[str, Any]) -> dict[str, str]:
    """Clauses for arrays of other shapes, those of the systems first; none where the stages are others anyway."""
    if saved.manifest["signature"].get("stages") != signature.get("stages"):
        return {}
    template = saved_tree(execution.template(saved.manifest["populated"]))
    arrays = {path: text for path, text in saved.described.items() if not path.startswith(BESIDE)}
    found = _differences(arrays, described(template))
    return {path: found[path] for path in sorted(found, key=_by_interest)}


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, str]:
    """One clause for each name whose values differ."""
    absent = "absent"
    return {
        name: f"{name} is {there.get(name, absent)} there and {here.get(name, absent)} here"
        for name in dict.fromkeys((*there, *here))
        if there.get(name, absent) != here.get(name, absent)
    }


def _by_interest(path: str) -> int:
    """Those of the systems first, those of the clock last."""
    return ("systems", "own", "clock").index(path.split("/")[0])


def _as_saved(signature: Mapping[str, Any]) -> dict[str, Any]:
    """The signature as it comes back from JSON (a tuple as a list, for example)."""
    loaded: dict[str, Any] = json.loads(json.dumps(dict(signature)))
    return loaded


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
