"""What a download tells, and to whom."""

from __future__ import annotations

import io
from typing import Any

import pytest
from clock import Clock

from hubloader.resolve.progress import Bars, Lines, Step, Tracker, format_bytes


def test_the_tracker_counts_files_and_bytes():
    events = []
    tracker = Tracker([events.append])

    tracker.begin({"a": 10, "b": 20})
    tracker.start("a", present=4)
    tracker.add("a", 6)
    tracker.finish("a")
    tracker.fail("b", "refused")
    tracker.end()

    assert [event.step for event in events] == [
        Step.BEGIN,
        Step.FILE,
        Step.BYTES,
        Step.DONE,
        Step.FAILED,
        Step.END,
    ]
    assert (events[-1].total_done, events[-1].total) == (10, 30)
    assert (events[-1].files_done, events[-1].files) == (1, 2)
    assert events[4].detail == "refused"


def test_bytes_are_told_at_most_ten_times_a_second():
    clock, events = Clock(), []
    tracker = Tracker([events.append], clock)
    tracker.begin({"a": 100})

    for step in range(100):
        clock.now = step * 0.01
        tracker.add("a", 1)

    assert 9 <= len([event for event in events if event.step is Step.BYTES]) <= 11


def test_a_total_with_an_unknown_size_is_unknown():
    events = []
    Tracker([events.append]).begin({"a": None, "b": 3})

    assert events[0].total is None


def test_plain_lines_tell_each_file_and_the_bytes_every_ten_seconds():
    clock, stream = Clock(), io.StringIO()
    tracker = Tracker([Lines(stream, clock)], clock)

    tracker.begin({"a": 2000, "b": 1000})
    tracker.start("a")
    for second in range(25):
        clock.now = float(second)
        tracker.add("a", 80)
    tracker.finish("a")
    tracker.note(Step.WAITING, "b", "process 7 is fetching it")
    tracker.fail("b", "refused")

    assert stream.getvalue().splitlines() == [
        "fetched 880 B of 3.0 kB, 0 of 2 files, 88 B/s, 24 s left",
        "fetched 1.7 kB of 3.0 kB, 0 of 2 files, 84 B/s, 16 s left",
        "fetched a (2.0 kB)",
        "waiting for b: process 7 is fetching it",
        "failed b: refused",
    ]


def test_a_wait_is_told_when_it_begins_and_every_ten_seconds():
    clock, stream = Clock(), io.StringIO()
    tracker = Tracker([Lines(stream, clock)], clock)

    tracker.begin({"a": 2000, "b": 1000})
    for second in range(21):
        clock.now = float(second)
        tracker.wait("a", 70 * second, f"process 7 is fetching it ({second} s)")
        tracker.wait("b", 0, f"process 7 is fetching it ({second} s)")

    assert stream.getvalue().splitlines() == [
        "waiting for a: process 7 is fetching it (0 s)",
        "waiting for a: process 7 is fetching it (10 s), 700 B of 2.0 kB so far",
        "waiting for a: process 7 is fetching it (20 s), 1.4 kB of 2.0 kB so far",
    ]


def test_what_another_process_brought_is_not_said_to_be_fetched():
    stream = io.StringIO()
    tracker = Tracker([Lines(stream, Clock())])

    tracker.begin({"a": 2000, "b": 1000})
    for name in "ab":
        tracker.wait(name, 0, "process 7 is fetching it")
    tracker.finish("a")
    tracker.start("b", 0)  # the other died
    tracker.finish("b")

    assert stream.getvalue().splitlines()[1:] == ["a is there (2.0 kB)", "fetched b (1.0 kB)"]


def test_of_what_another_brought_before_a_wait_was_told_nothing_is():
    stream = io.StringIO()
    tracker = Tracker([Lines(stream, Clock())])

    tracker.begin({"a": 2000})
    tracker.finish("a")
    tracker.end()

    assert not stream.getvalue()


def test_an_event_costs_the_same_however_many_files_there_are():
    class Counted(dict):
        looked_at_all = 0

        def values(self):
            Counted.looked_at_all += 1
            return super().values()

    tracker = Tracker([lambda _event: None])
    tracker._sizes, tracker._done = Counted(), Counted()
    tracker.begin({str(n): n for n in range(100)})

    for n in range(100):
        tracker.start(str(n))
        tracker.finish(str(n))

    assert Counted.looked_at_all == 0


def test_the_totals_are_the_sums_of_all_files():
    events = []
    tracker = Tracker([events.append])

    tracker.begin({"a": 10, "b": None})
    tracker.begin({"b": 20, "c": 5})
    tracker.start("a", present=4)
    tracker.wait("b", 7, "another has it")
    tracker.start("b", present=3)
    tracker.finish("c")

    assert (events[0].total, events[1].total) == (None, 35)
    assert (events[-1].total_done, events[-1].files_done, events[-1].files) == (12, 1, 3)


class FakeBar:
    def __init__(self, **options: Any) -> None:
        self.options, self.n, self.closed = options, 0, False

    def update(self, count: int) -> None:
        self.n += count

    def close(self) -> None:
        self.closed = True


def test_bars_show_the_total_and_each_large_file():
    made: list[FakeBar] = []

    def make(**options: Any) -> FakeBar:
        made.append(FakeBar(**options))
        return made[-1]

    tracker = Tracker([Bars(tqdm_class=make)])
    large = 100 * 2**20

    tracker.begin({"dir/large": large, "small": 10})
    tracker.start("small")
    tracker.start("dir/large")
    tracker.add("dir/large", 1000)
    tracker.finish("dir/large")
    tracker.finish("small")
    tracker.end()

    total, one = made
    assert (total.options["total"], one.options["total"]) == (large + 10, large)
    assert one.options["desc"] == "large"
    assert (total.n, one.n) == (large + 10, large)
    assert total.closed
    assert one.closed


def test_a_tracker_without_sinks_is_silent():
    tracker = Tracker()

    tracker.begin({"a": 1})
    tracker.finish("a")
    tracker.end()


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (267_832_558, "267.8 MB"), (5e13, "50.0 TB")]
)
def test_bytes_are_written_for_people(count, text):
    assert format_bytes(int(count)) == text
