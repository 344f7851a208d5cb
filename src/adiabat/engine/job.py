"""A run in a folder of its own: claimed, prepared, carried out, and summed up however it ends."""

from __future__ import annotations

import abc
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from adiabat.engine.run_log import RunLog
from adiabat.engine.signals import SignalHandler
from adiabat.errors import AdiabatError, InputError, Interrupted
from adiabat.io import RunFolder

__all__ = ["Job"]


class Job(abc.ABC):
    """What is to be done in a run folder. `carry_out` does it; a second time it resumes.

    Args:
        folder: where everything goes.
        config: the configuration in effect, as YAML.
        identity: what the folder belongs to, see `RunFolder.check`.
        resumes: whether the folder holds something to go on from; its log is then continued.
    """

    log: RunLog

    def __init__(self, folder: RunFolder, config: str, identity: Mapping[str, Any], *, resumes: bool) -> None:
        self.folder = folder
        self.resumes = resumes
        self._config = config
        self._identity = identity

    @abc.abstractmethod
    def prepare(self, signals: SignalHandler) -> None:
        """Make everything ready and read what there is to go on from; an `InputError` leaves no trace."""

    @abc.abstractmethod
    def run(self) -> str:
        """Go on to the end; returns why there is nothing more to do."""

    @abc.abstractmethod
    def conclude(self, status: str, reason: str) -> dict[str, Any]:
        """Write what was found, however the run ended, and return the summary."""

    def carry_out(self) -> None:
        """Do it all; whatever ends it early is raised when the folder says so.

        Raises:
            InputError: the folder holds something else, or what is asked for cannot be done.
            Interrupted, NumericalError, OutputError: as in `Driver.run`.
        """
        folder = self.folder
        made = [place for place in (folder.path, *folder.path.parents) if not place.exists()]
        summary = folder.read_summary()
        log_size = folder.log.stat().st_size if folder.log.exists() else 0
        with folder.owned(self._identity), SignalHandler() as signals:
            self.log = RunLog(folder.log, append=self.resumes)
            try:
                self.prepare(signals)
            except InputError:
                _leave_as_found(folder, made, summary, log_size)
                raise
            except BaseException as error:
                status, reason = _ending(error)
                folder.write_summary({**summary, "status": status, "reason": reason})
                raise
            folder.write_config(self._config)
            self._finish()

    def _finish(self) -> None:
        status, reason = "failed", "an unexpected error"
        try:
            status, reason = "finished", self.run()
        except BaseException as error:
            status, reason = _ending(error)
            raise
        finally:
            try:
                summary = self.conclude(status, reason)
            except BaseException as error:
                status, reason = _ending(error)
                self.folder.write_summary({**self.folder.read_summary(), "status": status, "reason": reason})
                raise
            self.folder.write_summary(summary)


def _ending(error: BaseException) -> tuple[str, str]:
    """Status and reason of a run that an error has ended."""
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        return "stopped", str(error) or "interrupted"
    return "failed", str(error) if isinstance(error, AdiabatError) else f"{type(error).__name__}: {error}"


def _leave_as_found(folder: RunFolder, made: Sequence[Path], summary: dict[str, Any], log_size: int) -> None:
    """What is refused writes nothing: remove what was made, or put the summary and the log back."""
    if made:
        shutil.rmtree(folder.path)
        for parent in made[1:]:  # unless another run has come in meanwhile
            with suppress(OSError):
                parent.rmdir()
    elif summary:
        folder.write_summary(summary)
        os.truncate(folder.log, log_size)
    else:  # the folder was there, and empty
        for file in (folder.log, folder.summary):
            file.unlink(missing_ok=True)
