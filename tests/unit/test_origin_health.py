from __future__ import annotations

import pytest

from hubloader.errors import ConnectFailed, ServerFailed
from hubloader.transport.auth import Origin
from hubloader.transport.base import Request
from hubloader.transport.health import OriginHealth
from hubloader.transport.memory import Answer, MemoryTransport
from hubloader.transport.retry import Retrying, RetryPolicy, failing_origin

HUB, STORE = "https://hub/x", "https://store/y"
AT_HUB = Origin.of(HUB)


class Time:
    now = 0.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def client(script, time, health):
    memory = MemoryTransport(script)
    policy = RetryPolicy(jitter=lambda: 1.0)
    return Retrying(memory, policy, clock=time.clock, sleep=time.sleep, health=health), memory


@pytest.mark.parametrize("bad", [Answer(503), Answer(error=ConnectFailed("refused"))])
def test_an_origin_that_a_request_gave_up_on_is_then_tried_once_by_each(bad):
    time = Time()
    health = OriginHealth(time.clock)
    first, tried = client({HUB: bad}, time, health)
    second, tried_later = client({HUB: bad}, time, health)

    for transport in (first, second, second):
        try:
            transport.send(Request("GET", HUB))
        except ConnectFailed:
            assert bad.error is not None

    assert len(tried.requests) > 1
    assert len(tried_later.requests) == 2


def test_another_origin_has_all_its_tries():
    time = Time()
    health = OriginHealth(time.clock)
    transport, memory = client({HUB: Answer(503), STORE: [Answer(503), Answer()]}, time, health)
    transport.send(Request("GET", HUB))

    assert transport.send(Request("GET", STORE)).status == 200
    assert len(memory.requests) == 6 + 2


def test_one_answer_ends_it():
    time = Time()
    health = OriginHealth(time.clock)
    script = {HUB: [*[Answer(503)] * 6, Answer(), Answer(503), Answer()]}
    transport, _ = client(script, time, health)

    answers = [transport.send(Request("GET", HUB)).status for _ in range(3)]

    assert answers == [503, 200, 200]


def test_a_minute_ends_it():
    time = Time()
    health = OriginHealth(time.clock)
    health.gave_up(AT_HUB, after=1.0)
    assert health.is_failing(AT_HUB)

    time.now = 61.0

    assert not health.is_failing(AT_HUB)


def test_one_bad_address_of_an_origin_that_answers_others_says_nothing_of_it():
    time = Time()
    health = OriginHealth(time.clock)
    time.now = 10.0
    health.answered(AT_HUB)
    time.now = 12.0

    health.gave_up(AT_HUB, after=5.0)

    assert not health.is_failing(AT_HUB)


def test_a_wait_that_one_session_was_told_holds_for_the_others():
    time = Time()
    health = OriginHealth(time.clock)
    told, _ = client({HUB: [Answer(429, {"Retry-After": "30"}), Answer()]}, time, health)
    other, memory = client({HUB: Answer()}, time, health)
    health.pause(AT_HUB, 30.0)

    other.send(Request("GET", HUB))

    assert time.now == 30.0
    assert len(memory.requests) == 1
    told.send(Request("GET", HUB))
    assert time.now >= 60.0


def test_a_failure_is_of_the_address_it_names():
    assert failing_origin(ServerFailed("x", status=500, url=STORE), HUB) == Origin.of(STORE)
    assert failing_origin(ServerFailed("x", status=500), HUB) == AT_HUB
    assert failing_origin(ServerFailed("x", status=500, url="no address"), HUB) == AT_HUB
