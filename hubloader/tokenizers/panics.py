"""Calls of the engine whose panic, which is no Exception, becomes an ordinary error."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from hubloader.tokenizers.reading import engine_failure

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["panics_as_errors"]

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


def panics_as_errors(call: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """Make ``call`` raise what ``engine_failure`` gives for an error of the engine."""

    @functools.wraps(call)
    def guarded(*args: _Given.args, **kwargs: _Given.kwargs) -> _Made:
        try:
            return call(*args, **kwargs)
        except BaseException as error:  # a panic of the Rust engine is no Exception
            failure = engine_failure(error)
            if failure is error:
                raise
            raise failure from error

    return guarded
