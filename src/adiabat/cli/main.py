"""`adiabat`: finds the command, runs it, and turns errors into one sentence and an exit code.

Exit codes: 0 finished, 1 a defect of adiabat, 2 bad input, 3 numerical failure, 4 finished but some systems
failed, 74 input or output failed, 75 stopped and resumable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from adiabat.cli.arguments import parse
from adiabat.cli.commands import COMMANDS, COMMON
from adiabat.cli.help_text import command_help, program_help
from adiabat.config import Target, did_you_mean, load_target
from adiabat.errors import AdiabatError, InputError, Interrupted, OutputError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: the words after `adiabat`; None takes those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(words)
        sys.stdout.flush()
    except AdiabatError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone (`adiabat list | head`): leave the exit nothing to flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("stopped; the same command goes on", Interrupted.exit_code)
    except OSError as error:
        return _fail(str(error), OutputError.exit_code)
    except Exception as error:  # noqa: BLE001 (a defect of ours, whatever it is, ends here)
        return _defect(error, quiet="-q" in words or "--quiet" in words)
    return code


def _run(words: list[str]) -> int:
    if not words:
        sys.stderr.write(program_help())
        return InputError.exit_code
    while words[0] in ("-v", "-q", "--verbose", "--quiet") and len(words) > 1:
        words = [*words[1:], words[0]]
    name, *rest = words
    if name in ("--help", "-h", "help"):
        print(command_help(rest[0]) if rest and rest[0] in COMMANDS else program_help(), end="")
        return 0
    if name == "--version":
        from adiabat import __version__

        print(f"adiabat {__version__}")
        return 0
    command = COMMANDS.get(name)
    if command is None:
        noun = "option" if name.startswith("-") else "command"
        raise InputError(f"unknown {noun} '{name}'{did_you_mean(name, COMMANDS)}; there is {', '.join(COMMANDS)}")
    if "--help" in rest or "-h" in rest:
        print(command_help(name), end="")
        return 0
    options = (*command.options, *COMMON)
    arguments = parse(name, rest, options, command.positionals, takes_settings=command.takes_settings)
    run = load_target(Target(name, command.run))
    takes_nothing = not command.positionals and not command.options
    return int((run() if takes_nothing else run(arguments)) or 0)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"adiabat: {' '.join(message.split())}\n")
    return code


def _defect(error: Exception, *, quiet: bool) -> int:
    if not quiet:
        import traceback

        traceback.print_exception(error)
    message = " ".join(f"{type(error).__name__}: {error}".split())
    return _fail(f"{message} (this is a defect of adiabat, please report it)", 1)
