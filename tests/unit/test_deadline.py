from __future__ import annotations

import threading

import pytest

from hubloader.errors import ConnectFailed, TimedOut
from hubloader.transport.deadline import within


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_what_is_in_time_is_returned_or_raised(seconds):
    assert within(seconds, lambda: 7, "asking") == 7

    def fail():
        raise ConnectFailed("refused")

    with pytest.raises(ConnectFailed):
        within(seconds, fail, "asking")


def test_what_is_late_is_not_waited_for():
    release = threading.Event()
    ended = threading.Event()

    def hang():
        release.wait(60)
        ended.set()

    with pytest.raises(TimedOut, match=r"asking the Hub took longer than 0\.01 s"):
        within(0.01, hang, "asking the Hub")
    assert not ended.is_set()
    release.set()
    assert ended.wait(60)
