"""Finds the command, runs it, and turns every ending into an exit code.

A command is a file in this folder, imported when it is run or listed: adding one adds a file.

==== ===========================================================================================
code meaning
==== ===========================================================================================
0    done
1    failed otherwise
2    wrong usage
3    not found: repository, revision, file
4    not allowed: gated, private, bad token
5    a hash or size does not match
6    not in the cache while offline
7    the lock is out of date
8    no room
9    refused by policy
10   a lock was held too long
75   the network or the Hub: worth trying again
130  interrupted (SIGINT)
143  ended from outside (SIGTERM)
==== ===========================================================================================
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from hubloader import __version__
from hubloader.cli._ending import came_of_interrupt
from hubloader.cli._failing import told_by_system
from hubloader.cli._options import SharedGroup
from hubloader.cli._report import SeveralFailed, exit_code, print_errors
from hubloader.errors import HubloaderError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["cli", "execute"]

_NOT_COMMANDS = frozenset({"main"})
_PYTHON_WORDS = frozenset({"import"})  # a command of this name is in a module with a _ behind it


class _Commands(SharedGroup):
    """The commands of this folder, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Name every command: every public module of this folder but this one."""
        stems = (os.path.splitext(name) for name in os.listdir(os.path.dirname(__file__)))
        return sorted(
            stem.rstrip("_")
            for stem, suffix in stems
            if suffix == ".py" and not stem.startswith("_") and stem not in _NOT_COMMANDS
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        suffix = "_" if cmd_name in _PYTHON_WORDS else ""
        module = import_module(f"hubloader.cli.{cmd_name}{suffix}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` name, or say which ones are near."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise click.UsageError(f"there is no command {name!r}{self._near(ctx, name)}", ctx)
        return super().resolve_command(ctx, args)

    def _near(self, ctx: click.Context, name: str) -> str:
        from hubloader.names import suggestion  # only on the way to an error

        return suggestion(name, self.list_commands(ctx))


@click.command(
    cls=_Commands,
    name="hubloader",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="hubloader", message="%(prog)s %(version)s")
def cli() -> None:
    """Fetch, keep and load models of the Hugging Face Hub."""


def execute(arguments: Sequence[str], *, as_json: bool) -> int:
    """Run one command and return its exit code; whatever went wrong has been printed then.

    Raises:
        KeyboardInterrupt: it was interrupted.

    """
    _write_any_name()
    try:
        code = cli.main(list(arguments), prog_name="hubloader", standalone_mode=False)
    except click.Abort:  # what click makes of an interrupt
        raise KeyboardInterrupt from None
    except Exception as error:  # noqa: BLE001  # the last place that can turn it into an exit code
        if came_of_interrupt(error):
            raise KeyboardInterrupt from None
        return _ended(error, as_json=as_json)
    return code if isinstance(code, int) else 0


def _write_any_name() -> None:
    """Have a name that stdout's encoding has no letters for written with escapes: a file's can."""
    if getattr(sys.stdout, "errors", None) == "strict" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _ended(error: Exception, *, as_json: bool) -> int:
    if isinstance(error, click.ClickException):
        return _refused(error, as_json=as_json)
    if isinstance(error, SeveralFailed):
        return _failed(error.failures, as_json=as_json)
    if isinstance(error, HubloaderError):
        return _failed((error,), as_json=as_json)
    return _unexpected(error, as_json=as_json)


def _refused(error: click.ClickException, *, as_json: bool) -> int:
    """What click itself says: wrong usage, or a sentence that a command gave it to say."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:
        error.show()
        return error.exit_code
    hint = None
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx is not None else "hubloader"
        hint = f"see `{path} --help`"
    kind = click.UsageError if isinstance(error, click.UsageError) else click.ClickException
    plain = kind(error.format_message().rstrip("."))  # some classes format what they are given
    print_errors([plain], error.exit_code, as_json=as_json, hint=hint)
    return error.exit_code


def _failed(failures: Sequence[HubloaderError], *, as_json: bool) -> int:
    if _debugging():
        raise failures[0]
    told = [each for failure in failures for each in failure.failures or (failure,)]
    code = exit_code(told)
    print_errors(told, code, as_json=as_json)
    return code


def _unexpected(error: Exception, *, as_json: bool) -> int:
    if _debugging():
        raise error
    told = told_by_system(error)
    if told is not None:
        code = exit_code((told,))
        print_errors([told], code, as_json=as_json)
        return code
    hint = "run it with HUBLOADER_DEBUG=1 to see where it happened, and report that"
    print_errors([error], 1, as_json=as_json, hint=hint)
    return 1


def _debugging() -> bool:
    from hubloader.settings import Settings

    try:
        return Settings.from_env().debug
    except HubloaderError:
        return False
