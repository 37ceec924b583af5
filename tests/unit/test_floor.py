from __future__ import annotations

import pytest

from hubloader.errors import TimedOut
from hubloader.transport.base import Request
from hubloader.transport.floor import FlooredResponse
from hubloader.transport.memory import Answer, MemoryTransport

URL = "https://hub/x"


class Dripping:
    """A response that takes ``seconds`` for each read, and the clock that counts them."""

    def __init__(self, body, seconds):
        self.now = 0.0
        self._seconds = seconds
        self._inner = MemoryTransport({URL: Answer(body=body)}).send(Request("GET", URL))
        self.status, self.url, self.headers = 200, URL, self._inner.headers

    def clock(self):
        return self.now

    def readinto(self, buffer):
        self.now += self._seconds
        return self._inner.readinto(buffer)

    def close(self):
        self._inner.close()


def test_a_body_that_drips_is_given_up():
    slow = Dripping(bytes(1000), seconds=1.0)
    floored = FlooredResponse(slow, min_rate=1024.0, window=30.0, clock=slow.clock)
    with pytest.raises(TimedOut, match="30 bytes came in 30 s"):
        while floored.readinto(bytearray(1)):
            pass


def test_a_body_at_the_floor_is_read_to_its_end():
    slow = Dripping(bytes(100 * 1024), seconds=1.0)
    floored = FlooredResponse(slow, min_rate=1024.0, window=30.0, clock=slow.clock)
    assert floored.read(10**6) == bytes(100 * 1024)


def test_each_window_counts_for_itself():
    slow = Dripping(bytes(200_000), seconds=1.0)
    floored = FlooredResponse(slow, min_rate=1024.0, window=30.0, clock=slow.clock)
    floored.readinto(bytearray(100_000))
    with pytest.raises(TimedOut):
        for _ in range(60):
            floored.readinto(bytearray(1))


def test_what_the_caller_does_between_two_reads_does_not_count():
    slow = Dripping(bytes(3), seconds=0.0)
    floored = FlooredResponse(slow, min_rate=1024.0, window=30.0, clock=slow.clock)
    while floored.readinto(bytearray(1)):
        slow.now += 1000.0


def test_the_end_of_a_slow_body_is_its_end():
    slow = Dripping(b"x", seconds=31.0)
    floored = FlooredResponse(slow, min_rate=0.01, window=30.0, clock=slow.clock)
    assert floored.readinto(bytearray(9)) == 1
    assert floored.readinto(bytearray(9)) == 0


def test_it_is_the_response_underneath_in_everything_else():
    inner = MemoryTransport({URL: Answer(206, {"X": "y"})}).send(Request("GET", URL))
    with FlooredResponse(inner, 1.0, 1.0) as floored:
        assert (floored.status, floored.url, floored.headers["x"]) == (206, URL, "y")
    assert inner.closed
