"""`a + b + c`: stages that systems pass through one after the other, each system at its own pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from adiabat.engine.stage import Stage
from adiabat.errors import InputError, InputTypeError

__all__ = ["FusedStage", "Renewable", "SubStage", "fuse", "in_a_row", "sharing_compute"]


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class SubStage:
    """A stage within a FusedStage: the status of its systems, and a label that no other sub-stage has."""

    code: int
    label: str
    stage: Stage


class Renewable(NamedTuple):
    """A part of a sub-stage's private rows that can begin anew, and the setting that it belongs to."""

    sub: SubStage
    name: str  # of the setting: "optimizer"
    key: str  # of the part: "opt_state"

    @property
    def setting(self) -> str:
        """Name in the signature: "train.optimizer"."""
        return f"{self.sub.label}.{self.name}"

    def owns(self, name: str) -> bool:
        """Whether an entry of the signature or an array of a checkpoint belongs to this part."""
        return name == self.setting or f"{name}/".startswith(f"own/{self.sub.label}/{self.key}/")


class FusedStage:
    """Sub-stages by code. A system of status `code` is advanced by that sub-stage, and moves to the next one
    by the stage's convergence or its step budget; after the last it has graduated (`status >= exit_status`).

    `sub_stages` are (code, stage) pairs with increasing codes, a stage or what has one as its `stage`;
    `exit_status=-1` stands for one past the last code. A stage whose budget is zero steps is passed by. Stages of one
    name are told apart by a number: fire, nve, fire-2.
    """

    def __init__(
        self, sub_stages: Sequence[tuple[int, Stage]], *, entry_status: int | None = None, exit_status: int = -1
    ) -> None:
        pairs = [(int(code), getattr(stage, "stage", stage)) for code, stage in sub_stages]
        codes = [code for code, _ in pairs]
        if not pairs or codes != sorted(set(codes)) or codes[0] < 0:
            raise InputError(f"sub-stage codes are {codes}; expected increasing integers from 0 on, at least one")
        for _, stage in pairs:
            if not isinstance(stage, Stage):
                raise InputTypeError(f"a sub-stage is a Stage; got {type(stage).__name__}")
        self.sub_stages = tuple(
            SubStage(code, label, stage)
            for (code, stage), label in zip(pairs, _labels([stage.name for _, stage in pairs]), strict=True)
        )
        self.exit_status = codes[-1] + 1 if exit_status == -1 else exit_status
        self.entry_status = codes[0] if entry_status is None else entry_status
        if self.exit_status <= codes[-1]:
            raise InputError(f"exit_status is {exit_status}; expected more than the last code, {codes[-1]}")
        if self.entry_status not in codes:
            raise InputError(f"entry_status is {entry_status}; expected one of the codes {codes}")

    @property
    def first_status(self) -> int:
        """Where a system is admitted: the entry status, or the next sub-stage that has steps to do."""
        return self._skip_empty(self.entry_status)

    def next_status(self, code: int) -> int:
        """Where a system goes that leaves sub-stage `code`."""
        later = [sub.code for sub in self.sub_stages if sub.code > code]
        return self._skip_empty(later[0] if later else self.exit_status)

    def _skip_empty(self, status: int) -> int:
        for sub in self.sub_stages:
            if sub.code >= status and sub.stage.n_steps != 0:
                return sub.code
        return self.exit_status

    def together_with(self, subs: Sequence[SubStage]) -> tuple[SubStage, ...]:
        """These sub-stages and those that share their `compute`: what is compiled as one program."""
        groups = sharing_compute(self.sub_stages)
        codes = {sub.code for group in groups if any(sub in subs for sub in group) for sub in group}
        return tuple(sub for sub in self.sub_stages if sub.code in codes)

    def signature(self) -> dict[str, Any]:
        """What must agree on resume, by sub-stage: {"stages": "train, evaluate", "train.optimizer": "sr", ...}."""
        named: dict[str, Any] = {"stages": ", ".join(sub.label for sub in self.sub_stages)}
        for sub in self.sub_stages:
            values: Mapping[str, Any] = sub.stage.signature()
            named.update({f"{sub.label}.{key}": value for key, value in values.items()})
        return named

    def renewable(self) -> tuple[Renewable, ...]:
        """All that can begin anew."""
        return tuple(
            Renewable(sub, name, key) for sub in self.sub_stages for name, key in sub.stage.renewable().items()
        )

    def __add__(self, other: Any) -> FusedStage:
        return fuse(self, other)

    def __repr__(self) -> str:
        names = " + ".join(f"{sub.label} ({sub.code})" for sub in self.sub_stages)
        return f"FusedStage({names}, exit_status={self.exit_status})"


def fuse(*stages: Any) -> FusedStage:
    """One FusedStage of stages and FusedStages in this order; later codes are renumbered to follow on."""
    groups: list[list[tuple[int, Stage]]] = []
    for stage in stages:
        if isinstance(stage, FusedStage):
            groups.append([(sub.code, sub.stage) for sub in stage.sub_stages])
        elif isinstance(getattr(stage, "stage", stage), Stage):
            groups.append([(0, getattr(stage, "stage", stage))])
        else:
            raise TypeError(f"only stages can be joined with +; got {type(stage).__name__}")
    first = stages[0]
    entry = first.entry_status if isinstance(first, FusedStage) else None
    return FusedStage(in_a_row(groups), entry_status=entry)


def in_a_row(groups: Sequence[Sequence[tuple[int, T]]]) -> list[tuple[int, T]]:
    """(code, stage) pairs of several fused stages as those of one: later codes are renumbered to follow on."""
    pairs: list[tuple[int, T]] = []
    for group in groups:
        offset = pairs[-1][0] + 1 - group[0][0] if pairs else 0
        pairs += [(code + offset, stage) for code, stage in group]
    return pairs


def sharing_compute(subs: Sequence[SubStage]) -> list[list[SubStage]]:
    """The sub-stages in groups that have one `compute`, in order."""
    groups: dict[Any, list[SubStage]] = {}
    for sub in subs:
        shared = sub.stage.shared_compute()
        groups.setdefault(("alone", sub.code) if shared is None else ("shared", shared), []).append(sub)
    return list(groups.values())


def _labels(names: Sequence[str]) -> list[str]:
    """Names made unique by a number from the second occurrence on."""
    labels: list[str] = []
    for name in names:
        label, count = name, 1
        while label in labels:
            count += 1
            label = f"{name}-{count}"
        labels.append(label)
    return labels
