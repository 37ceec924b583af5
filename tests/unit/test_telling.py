"""Who is told of a download, and what becomes of it when nobody can be."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from hubloader.resolve.progress import Bars, Progress, Tracker
from hubloader.resolve.telling import tracker_for
from hubloader.settings import Settings


class Gone(io.StringIO):
    """A pipe that nobody reads any more."""

    tries = 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise BrokenPipeError(32, f"nobody reads {text!r}")


def download(tracker: Tracker) -> None:
    tracker.begin({"a": 2, "b": 2})
    for name in ("a", "b"):
        tracker.start(name)
        tracker.add(name, 2)
        tracker.finish(name)
    tracker.end()


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed()], ids=["none", "closed"])
def test_a_program_without_a_console_downloads_in_silence(
    monkeypatch: pytest.MonkeyPatch, stream: Any
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)

    download(tracker_for(Settings.from_env({}), None))


@pytest.mark.parametrize(
    "environment", [{}, {"HUBLOADER_LOG_FORMAT": "json"}, {"GITHUB_ACTIONS": "true"}]
)
def test_a_stream_that_takes_no_more_fails_no_download_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    stream = Gone()
    monkeypatch.setattr(sys, "stderr", stream)

    download(tracker_for(Settings.from_env(environment), None))

    assert stream.tries == 1


def test_what_a_program_raises_when_it_is_told_reaches_it() -> None:
    def stop(_: Progress) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        download(tracker_for(Settings.from_env({}), stop))


def test_a_bar_need_not_know_where_it_stands() -> None:
    moves: list[int] = []

    class Bar:
        def __init__(self, **_: Any) -> None: ...

        def update(self, count: int) -> None:
            moves.append(count)

        def close(self) -> None: ...

    download(Tracker([Bars(tqdm_class=Bar)]))

    assert sum(moves) == 4
