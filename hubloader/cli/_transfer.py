"""The options of commands that fetch: how many connections, how patient, how fast."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["transfer_options"]

_OPTIONS = (
    click.option("--jobs", type=click.IntRange(1, 256), help="Connections at a time."),
    click.option("--timeout", type=click.FloatRange(0.1), help="Seconds a server may be silent."),
    click.option("--retries", type=click.IntRange(0), help="How often a request is tried again."),
    click.option("--limit-rate", metavar="RATE", help="Bytes a second in all: 10MB, 500k."),
    click.option(
        "--wait-lock",
        type=click.FloatRange(0),
        metavar="SECONDS",
        help="Wait no longer for another process (exit 10).  [default: while it makes progress]",
    ),
)


def transfer_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take them; they are settings while it runs."""

    @functools.wraps(function)
    def run(*arguments: Any, **given: Any) -> Any:
        _export({name: given.pop(name) for name in _NAMES})
        return function(*arguments, **given)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


_NAMES = ("jobs", "timeout", "retries", "limit_rate", "wait_lock")


def _export(given: dict[str, Any]) -> None:
    from hubloader.settings import export_settings

    retries, rate = given["retries"], given["limit_rate"]
    values = {
        "max_workers": given["jobs"],
        "idle_timeout": given["timeout"],
        "max_attempts": None if retries is None else retries + 1,
        "limit_rate": None if rate is None else _rate(rate),
        "wait_lock": given["wait_lock"],
    }
    export_settings({name: value for name, value in values.items() if value is not None})


def _rate(text: str) -> int:
    from hubloader.errors import InvalidReference
    from hubloader.locking.project import parse_size

    try:
        rate = parse_size(text.removesuffix("/s"))
    except InvalidReference as error:
        raise click.BadParameter(error.message, param_hint="'--limit-rate'") from None
    if rate < 1:
        raise click.BadParameter("a rate is at least 1 byte a second", param_hint="'--limit-rate'")
    return rate
