"""Where a stage of dynamics stands among others, what flows through it, and on what device it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax

from adiabat.atoms.sinks import Sink
from adiabat.atoms.size_aware_sampler import SizeAwareSampler
from adiabat.config import wired
from adiabat.errors import InputError

__all__ = ["COMM_MODES", "StagePlace"]

COMM_MODES = ("sync", "async_recv", "fully_async")


@dataclass(eq=False, kw_only=True, repr=False)
class StagePlace:
    """What every stage of dynamics is told besides its physics.

    Parameters
    ----------
    prior_rank, next_rank : int
        Stages that systems come from and go to; -1: by their order.
    comm_mode : str
        How systems are handed on between ranks: "sync", "async_recv" or "fully_async".
    buffer_config : optional
        Room for systems on their way between ranks; None: that of the slots.
    max_batch_size : int
        Systems at work at once, where a sampler fills the slots.
    refill_frequency : int
        Places of systems that have graduated are filled again after at least so many steps.
    sampler : SizeAwareSampler, optional
        Where systems come from that take the places of those that graduate.
    sinks : sequence of Sink, optional
        Where those go, in order of priority.
    device_type : str, optional
        "cpu", "gpu", ...; by default what JAX prefers.
    debug_mode : bool
        Kept for what runs the stage.

    Raises
    ------
    InputError
        A number that is not positive, or an unknown ``comm_mode``.
    RuntimeError
        If there is no such device.
    """

    prior_rank: int = wired(-1)
    next_rank: int = wired(-1)
    comm_mode: str = wired("async_recv")
    buffer_config: Any = wired(None)
    max_batch_size: int = wired(100)
    refill_frequency: int = wired(1)
    sampler: SizeAwareSampler | None = wired(None)
    sinks: Sequence[Sink] | None = wired(None)
    device_type: str | None = wired(None)
    debug_mode: bool = wired(False)

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "refill_frequency"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected a positive integer")
        if self.comm_mode not in COMM_MODES:
            raise InputError(f"comm_mode is {self.comm_mode!r}; expected one of {', '.join(COMM_MODES)}")
        self.sinks = tuple(self.sinks or ())
        if self.device_type is not None:
            self.device  # noqa: B018 - a device that is not there is refused now

    @property
    def inflight_mode(self) -> bool:
        """Whether systems come from a sampler."""
        return self.sampler is not None

    @property
    def is_first_stage(self) -> bool:
        """Whether no other stage hands systems to this one."""
        return self.prior_rank < 0

    @property
    def is_final_stage(self) -> bool:
        """Whether this one hands systems to no other stage."""
        return self.next_rank < 0

    @property
    def has_neighbor(self) -> bool:
        """Whether systems come from another stage or go to one."""
        return not (self.is_first_stage and self.is_final_stage)

    @property
    def global_rank(self) -> int:
        """Which of all processes this is."""
        return jax.process_index()

    @property
    def local_rank(self) -> int:
        """Which of the processes of this machine this is; one process uses all devices that it has."""
        return 0

    @property
    def device(self) -> jax.Device:
        """What the stage runs on."""
        try:
            return jax.local_devices(backend=self.device_type)[0]
        except RuntimeError as error:
            there = ", ".join(sorted({device.platform for device in jax.local_devices()} | {"cpu"}))
            raise RuntimeError(f"there is no device of the type {self.device_type!r}; there is {there}") from error

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Whatever is begun in this block runs on the device that was asked for."""
        if self.device_type is None:
            yield
        else:
            with jax.default_device(self.device):
                yield
