"""What both command lines share: subcommands imported on use, and errors turned into one line and an exit code."""

from __future__ import annotations

import difflib
import io
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import NoReturn

import click

from curate.core.errors import StorageError, UserError

INTERRUPTED = 130  # 128 + SIGINT
TERMINATED = 143  # 128 + SIGTERM

ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "OMP_WAIT_POLICY": "PASSIVE",  # spinning OpenMP threads made one run 10 times slower on two busy cores
    "KMP_BLOCKTIME": "0",  # the same for Intel's OpenMP
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Set before anything heavy is imported, where the user has not set them."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: handled wherever Ctrl-C is, with its own exit code."""


class LazyGroup(click.Group):
    """A group whose subcommands live in modules that are imported when the subcommand is used.

    Args:
        commands: subcommand -> ("package.module:attribute", one-line help for the list).
    """

    def __init__(self, *args: object, lazy: Mapping[str, tuple[str, str]], **kwargs: object) -> None:
        """Take the table in place of command objects."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Subcommands in the table's order."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in self.lazy:
            close = difflib.get_close_matches(cmd_name, self.lazy, n=1)
            ctx.fail(f"No such command {cmd_name!r}." + (f" (Did you mean {close[0]!r}?)" if close else ""))
        command = pkgutil.resolve_name(self.lazy[cmd_name][0])
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])


def print_error(line: str, hint: str | None = None) -> None:
    """Print what is wrong, and below it what would do."""
    click.echo(f"Error: {line}", err=True)
    if hint is not None:
        click.echo(f"  hint: {hint}", err=True)


def settle() -> None:
    """Set what `ENVIRONMENT` says, where the user has not; does its work before anything heavy is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def entry(group: click.Command, tell: Callable[[str, str | None], None] = print_error) -> NoReturn:
    """Run a command line; end the process with the exit code that fits what happened.

    0 done, 1 a failure that the user can mend, 2 usage or recipe, 3 data, 65 non-finite training, 74 input or output,
    130 and 143 interrupted. An error is one line on standard error, and a second one for its
    hint; anything else is a defect of ours and keeps its traceback.

    Args:
        group: the command line.
        tell: prints an error's line, and its hint where there is one.
    """
    settle()
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console or pipe of Windows does not know every character
    try:
        code = group.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except UserError as error:
        code = _say(error.problem, error.exit_code, tell, error.hint)
    except (KeyboardInterrupt, click.Abort) as stop:
        terminated = isinstance(stop, Terminated) or isinstance(stop.__cause__, Terminated)  # click makes an Abort of either
        code = _say("interrupted", TERMINATED if terminated else INTERRUPTED, tell, "the same command resumes")
    except BrokenPipeError:  # `| head` closed the pipe: what it wanted it has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        code = _say(f"{place}{error.strerror or error}", StorageError.exit_code, tell, "check the path and the disk")
    sys.exit(code if isinstance(code, int) else 0)


def _say(problem: str, code: int, tell: Callable[[str, str | None], None], hint: str | None = None) -> int:
    tell(" ".join(problem.split()), hint and " ".join(hint.split()))
    return code


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
