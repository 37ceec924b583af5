"""``hubloader``: where the process begins and ends.

What is here is little, and stays so: ``hubloader --version`` needs no more of it, and a signal that
comes while the command is still being imported ends the run as any other does.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, NoReturn

from hubloader import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "run"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit code.

    Args:
        arguments: without the program's name; None for the process's own.

    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever goes wrong has been printed then."""
    given = list(arguments)
    if given == ["--version"]:  # as the option does it, without what commands need
        with contextlib.suppress(OSError):  # the option will meet it too, and knows what to say
            print(f"hubloader {__version__}", flush=True)
            return 0
    from hubloader.cli._ending import Ending, came_of_interrupt, watched

    ending = Ending(as_json="--json" in (given[: given.index("--")] if "--" in given else given))
    try:
        with watched(ending):
            from hubloader.cli._commands import execute

            return execute(given, as_json=ending.as_json)
    except KeyboardInterrupt:
        return ending.tell()
    except Exception as error:
        if came_of_interrupt(error):  # while what ``execute`` needs was imported
            return ending.tell()
        raise
