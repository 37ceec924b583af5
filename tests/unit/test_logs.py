from __future__ import annotations

import io
import json

import pytest
from clock import Clock

from hubloader.resolve.logs import Groups, JsonLines
from hubloader.resolve.progress import Step, Tracker, format_seconds


def fetch_two(tracker: Tracker, clock: Clock) -> None:
    tracker.begin({"a": 2000, "b": 1000})
    tracker.start("a")
    for second in range(1, 21):
        clock.now = float(second)
        tracker.add("a", 100)
    tracker.finish("a")
    tracker.note(Step.RETRY, "b", "the line broke")
    tracker.add("b", 1000)
    tracker.finish("b")
    tracker.end()


def test_json_lines_are_one_event_each_and_bytes_only_now_and_then():
    clock, stream = Clock(), io.StringIO()

    fetch_two(Tracker([JsonLines(stream, clock)], clock), clock)

    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        *("begin", "file", "bytes", "bytes", "done", "retry", "done", "end"),
    ]
    assert events[2] == {
        "event": "bytes",
        "time": 10.0,
        "filename": "a",
        "done": 1000,
        "size": 2000,
        "total_done": 1000,
        "total": 3000,
        "files_done": 0,
        "files": 2,
        "detail": "",
    }
    assert events[5]["detail"] == "the line broke"


def test_a_github_log_is_folded_and_ends_with_a_summary():
    clock, stream = Clock(), io.StringIO()

    fetch_two(Tracker([Groups(stream, "github", clock=clock)], clock), clock)

    lines = stream.getvalue().splitlines()
    assert lines[0] == "::group::hubloader: 2 files, 3.0 kB"
    assert lines[-2] == "::endgroup::"
    assert lines[-1] == "fetched 2 of 2 files, 3.0 kB in 20 s (150 B/s)"
    assert "fetched a (2.0 kB)" in lines


def test_a_summary_says_fetched_only_of_what_was():
    clock, stream = Clock(), io.StringIO()
    tracker = Tracker([Groups(stream, "github", clock=clock)], clock)

    tracker.begin({"a": 2000})
    clock.now = 20.0
    tracker.finish("a")  # another brought it
    tracker.end()

    assert stream.getvalue().splitlines()[-1] == "waited for 1 of 1 files, 2.0 kB in 20 s (100 B/s)"


def test_a_gitlab_section_opens_and_closes_by_one_name():
    clock, stream = Clock(), io.StringIO()

    fetch_two(Tracker([Groups(stream, "gitlab", clock=clock, now=lambda: 7.0)], clock), clock)

    text = stream.getvalue()
    assert text.startswith(
        "\x1b[0Ksection_start:7:hubloader_7000[collapsed=true]\r\x1b[0Khubloader:"
    )
    assert "\x1b[0Ksection_end:7:hubloader_7000\r\x1b[0K\n" in text


@pytest.mark.parametrize(("seconds", "told"), [(9.4, "9 s"), (300, "5 min"), (9000, "2.5 h")])
def test_times_are_told_as_people_say_them(seconds, told):
    assert format_seconds(seconds) == told
