"""The options that every command takes, before or after its name.

They are settings for the length of one run: each is written to the variable that says it, so that
everything the run uses hears it, and an option wins over the environment.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from hubloader.types import RepoType

__all__ = ["Shared", "SharedCommand", "SharedGroup", "shared"]


@dataclass
class Shared:
    """What was given of the shared options; None where an option was not given."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    cache_dir: str | None = None
    endpoint: str | None = None
    token: str | None = None
    offline: bool = False
    log_format: str | None = None
    repo_type: RepoType | None = None

    @property
    def named_type(self) -> RepoType:
        """What kind of repository a name on the command line means."""
        return self.repo_type or "model"

    def export(self) -> None:
        """Make them the settings of this process."""
        from hubloader.settings import export_settings

        export_settings(
            {
                "cache_dir": self.cache_dir,
                "endpoint": self.endpoint,
                "token": self.token,
                "implicit_token": True if self.token else None,
                "offline": self.offline or None,
                "progress": False if self.quiet else None,
                "log_format": self.log_format,
            }
        )


def shared(context: click.Context) -> Shared:
    """The shared options of this run, wherever they stood on the command line."""
    return context.find_root().ensure_object(Shared)


class SharedCommand(click.Command):
    """A command that takes the shared options beside its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_options())

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command with the shared options in force."""
        given = shared(ctx)
        given.export()
        warnings.showwarning = _silent if given.quiet else _warn
        if given.verbose:
            _log_to_stderr()
        return super().invoke(ctx)


class SharedGroup(click.Group):
    """A group that takes the shared options before a command's name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_options())


def _options() -> list[click.Option]:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        given = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        if given:
            setattr(shared(context), str(parameter.name), value)

    def option(*names: str, help: str, **kwargs: Any) -> click.Option:  # noqa: A002  # click's word
        return click.Option(names, callback=keep, expose_value=False, help=help, **kwargs)

    return [
        option("--json", is_flag=True, help="Print one JSON document on stdout."),
        option("-q", "--quiet", is_flag=True, help="Show no progress."),
        option("-v", "--verbose", is_flag=True, help="Say on stderr what is being done."),
        option("--cache-dir", type=click.Path(file_okay=False), help="The Hub cache to use."),
        option("--endpoint", type=_endpoint, metavar="URL", help="The Hub, or a mirror of it."),
        option("--token", help="The token to send; better: set HF_TOKEN."),
        option("--offline", is_flag=True, help="Open no socket: the cache has to do."),
        option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            help="How progress is written: json is one event a line.",
        ),
        option(
            "--repo-type",
            type=click.Choice(["model", "dataset", "space"]),
            help="What kind of repository names mean.  [default: model]",
        ),
    ]


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _silent(*_: Any, **__: Any) -> None:
    """Say nothing."""


def _log_to_stderr() -> None:
    import logging  # first use: 10 ms that only --verbose costs

    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")


def _endpoint(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise click.BadParameter(
            f"{text!r} does not begin with http:// or https://", param_hint="'--endpoint'"
        )
    return text.rstrip("/")
