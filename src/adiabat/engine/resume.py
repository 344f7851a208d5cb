"""Finding the checkpoint to go on from: the newest good one, or the end of a stage that now has more to do."""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adiabat.engine.checkpoint import CheckpointDamaged, Checkpoints, Saved, described
from adiabat.engine.compiling import Tell
from adiabat.engine.execution import Execution
from adiabat.engine.fused import SubStage
from adiabat.engine.state import State
from adiabat.errors import InputError, OutputError

__all__ = ["find_start", "saved_state", "saved_tree", "surroundings"]

MANY = 4  # differing arrays that are named before the rest is only counted


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


def saved_state(saved: Saved, execution: Execution) -> State:
    """The state that a checkpoint holds."""
    filled = saved.fill(saved_tree(execution.template(saved.manifest["populated"])))
    metrics = {path.removeprefix("metrics/"): x for path, x in saved.arrays.items() if path.startswith("metrics/")}
    return State(filled["systems"], filled["own"], filled["clock"], metrics=metrics)


def find_start(
    execution: Execution, checkpoints: Checkpoints, signature: Mapping[str, Any], tell: Tell
) -> Saved | None:
    """Put the execution into the state it is to go on from; None if there is no checkpoint.

    Raises:
        InputError: the run that was saved had another signature, or arrays of other shapes; names each
        difference.
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
    _put(execution, saved, signature)
    started = _extension(execution, checkpoints, saved, signature, tell) or saved
    for name, now in surroundings().items():
        then = started.manifest.get("surroundings", {}).get(name, now)
        if then != now:
            tell("resumed", f"{name} was {then} and is {now}: the last bits may differ from an uninterrupted run")
    return started


def _extension(
    execution: Execution, checkpoints: Checkpoints, newest: Saved, signature: Mapping[str, Any], tell: Tell
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
        _put(execution, saved, signature)
        leaving, _ = execution.leaving()
        if sub.code not in leaving:
            tell("resumed", f"{sub.label} is extended from its end at step {saved.step}")
            return saved
        _put(execution, newest, signature)
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


def _put(execution: Execution, saved: Saved, signature: Mapping[str, Any]) -> None:
    """Restore a checkpoint, or refuse it in one sentence."""
    there = saved.manifest["signature"]
    differing = _differences(there, _as_saved(signature))
    if there.get("stages") == signature.get("stages"):
        template = saved_tree(execution.template(saved.manifest["populated"]))
        arrays = {path: text for path, text in saved.described.items() if not path.startswith("metrics/")}
        different_arrays = sorted(_differences(arrays, described(template)), key=_by_interest)
        surplus = len(different_arrays) - MANY
        differing += different_arrays[:MANY] + ([f"{surplus} more arrays differ"] if surplus > 0 else [])
    if differing:
        raise InputError(
            f"the checkpoint {saved.path} does not fit this run: {'; '.join(differing)} "
            "(go on with the settings of that run, or name another folder to start anew)"
        )
    execution.restore(saved_state(saved, execution))


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """One clause for each name whose values differ."""
    absent = "absent"
    return [
        f"{name} is {there.get(name, absent)} there and {here.get(name, absent)} here"
        for name in dict.fromkeys((*there, *here))
        if there.get(name, absent) != here.get(name, absent)
    ]


def _by_interest(difference: str) -> int:
    """Those of the systems first, those of the clock last."""
    return ("systems", "own", "clock").index(difference.split("/")[0])


def _as_saved(signature: Mapping[str, Any]) -> dict[str, Any]:
    """The signature as it comes back from JSON (a tuple as a list, for example)."""
    loaded: dict[str, Any] = json.loads(json.dumps(dict(signature)))
    return loaded


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
