"""SIGTERM and SIGINT: the first one asks the run to stop and save, a second SIGINT stops at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
from types import FrameType
from typing import Any

from adiabat.errors import Interrupted

__all__ = ["SignalHandler"]

GRACE_SECONDS = 2.0


class SignalHandler:
    """Context manager that notes signals instead of dying of them.

    A Driver looks at `requested` whenever a program returns. Outside the main thread, where Python allows no
    signal handlers, it does nothing.
    """

    def __init__(self, signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)) -> None:
        self.signals = signals
        self.requested: str | None = None
        self._interrupts = 0
        self._previous: dict[signal.Signals, Any] = {}
        self._writer: socket.socket | None = None
        self._old_wakeup = -1
        self._at_once = threading.Event()

    def __enter__(self) -> SignalHandler:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self.signals}
            self._watch()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._writer is not None:
            signal.set_wakeup_fd(self._old_wakeup)
            self._writer.close()  # the watching thread reads the end of it and returns
        self._previous, self._writer = {}, None

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                self._at_once.set()
                raise KeyboardInterrupt("stopped at once by a second SIGINT")
        self.requested = signal.Signals(number).name

    def _watch(self) -> None:
        """Python runs `_note` only between bytecodes, not during a long compilation; a thread sees signals at
        once and ends a process that does not react to the second SIGINT."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        self._writer = writer
        self._old_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

        def watch() -> None:
            interrupts = 0
            with reader:
                while interrupts < 2:
                    received = reader.recv(64)
                    if not received:
                        return
                    interrupts += received.count(bytes([signal.SIGINT]))
            if not self._at_once.wait(GRACE_SECONDS):
                os._exit(Interrupted.exit_code)

        threading.Thread(target=watch, name="adiabat-signals", daemon=True).start()
