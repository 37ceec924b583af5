"""What a command prints: its result, or its errors, for people or as one JSON document.

The document of a result is ``{"version": 1, "ok": true, …}``, of a failure ``{"version": 1,
"ok": false, "exit_code": N, "errors": […]}``. People get lines on stdout; errors are lines on
stderr, ``error: …`` and, where there is a way out, ``hint: …``.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from hubloader import errors as our_errors
from hubloader.cli._options import shared
from hubloader.errors import HubloaderError, gravity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import click

__all__ = ["SeveralFailed", "emit", "exit_code", "print_errors"]

DOCUMENT_VERSION: Final = 1


class SeveralFailed(Exception):
    """Some of the things a command was asked for failed; all of them were tried."""

    def __init__(self, failures: Sequence[HubloaderError]) -> None:
        super().__init__(f"{len(failures)} failed")
        self.failures = tuple(failures)


def emit(
    context: click.Context,
    document: Mapping[str, Any],
    lines: Iterable[str],
    *,
    errors: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Print a result: ``document`` with ``--json``, else ``lines``.

    With ``errors`` (as ``print_errors`` tells them) it is a result that is itself a failure, of
    exit code 1.
    """
    if shared(context).json:
        state = {"ok": False, "exit_code": 1, "errors": list(errors)} if errors else {"ok": True}
        print(_dump({"version": DOCUMENT_VERSION, **state, **document}), flush=True)
        return
    for line in lines:
        print(line, flush=True)


def exit_code(failures: Iterable[BaseException]) -> int:
    """The exit code that stands for several errors: that of the gravest."""
    code: int = getattr(min(failures, key=gravity), "exit_code", 1)
    return code


def print_errors(
    failures: Sequence[BaseException], code: int, *, as_json: bool, hint: str | None = None
) -> None:
    """Print errors; ``hint`` stands where an error has none of its own."""
    told = [_told(failure, hint) for failure in failures]
    if as_json:
        document = {"version": DOCUMENT_VERSION, "ok": False, "exit_code": code, "errors": told}
        with contextlib.suppress(OSError):  # nobody can be told there: then as without --json
            print(_dump(document), flush=True)
            return
    with contextlib.suppress(OSError):  # nor here: the exit code says it
        _print_lines(told)


def _print_lines(told: Sequence[Mapping[str, str | None]]) -> None:
    for each, following in zip(told, [*told[1:], None], strict=True):
        print(f"error: {each['message']}", file=sys.stderr)
        shared_hint = following is not None and following["hint"] == each["hint"]
        if each["hint"] and not shared_hint:  # once for a row of errors that share it
            print(f"hint: {each['hint']}", file=sys.stderr)


def _told(failure: BaseException, hint: str | None) -> dict[str, str | None]:
    if isinstance(failure, HubloaderError):
        return {
            "kind": _kind(failure),
            "message": _one_line(failure.sentence()),
            "hint": failure.hint or hint,
            "repo_id": failure.repo_id,
            "revision": failure.revision,
            "filename": failure.filename,
        }
    return {
        "kind": type(failure).__name__,
        "message": _one_line(str(failure) or type(failure).__name__),
        "hint": hint,
        "repo_id": None,
        "revision": None,
        "filename": None,
    }


def _kind(failure: HubloaderError) -> str:
    """The documented class: errors that are huggingface_hub's too are made as they are raised."""
    documented = (cls for cls in type(failure).__mro__ if cls.__module__ == our_errors.__name__)
    return next(documented).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, default=str)
