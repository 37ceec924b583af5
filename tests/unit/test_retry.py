from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.errors import (
    ConnectFailed,
    EntryNotFound,
    Interrupted,
    InvalidReference,
    MalformedAnswer,
    RateLimited,
    RedirectRefused,
    ServerFailed,
    TimedOut,
)
from hubloader.transport.base import Request, Timeouts
from hubloader.transport.memory import Answer, MemoryTransport
from hubloader.transport.redirects import Redirecting, RedirectPolicy
from hubloader.transport.retry import RETRIED_STATUSES, Retrying, RetryPolicy, Trouble

URL = "https://hub/x"
PASSING = Trouble("passing")
EVEN = RetryPolicy(jitter=lambda: 1.0)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0
        self.naps = []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds


def retrying(script, policy=EVEN):
    time = Time()
    memory = MemoryTransport({URL: script} if not isinstance(script, dict) else script)
    return Retrying(memory, policy, clock=time.clock, sleep=time.sleep), memory, time


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (Interrupted("x"), PASSING),
        (TimedOut("x"), PASSING),
        (ConnectFailed("x"), Trouble("unreachable")),
        (TimedOut("x", connecting=True), Trouble("unreachable")),
        (ConnectFailed("tls", retryable=False), Trouble("final")),
        (RedirectRefused("x"), Trouble("final")),
        (RateLimited("x", retry_after=9.0), Trouble("passing", 9.0)),
        (ServerFailed("x", status=503, retry_after=3.0), Trouble("passing", 3.0)),
        (ServerFailed("x", status=520), PASSING),  # a CDN's own: its origin said nonsense
        (ServerFailed("x", status=529), PASSING),
        (ServerFailed("x", status=501), Trouble("final")),
        (ServerFailed("x", status=511), Trouble("final")),
        (ServerFailed("x", status=416), Trouble("final")),
        (EntryNotFound("x"), Trouble("final")),
        (MalformedAnswer("x"), Trouble("final")),
        (InvalidReference("x"), Trouble("final")),
    ],
)
def test_errors_are_judged(error, trouble):
    assert Trouble.of_error(error) == trouble


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_is_judged(status):
    response = MemoryTransport({URL: Answer(status)}).send(Request("GET", URL))
    trouble = Trouble.of_answer(Request("GET", URL), response)
    assert trouble == (PASSING if status in RETRIED_STATUSES else None)


def test_backoffs_double_up_to_the_longest():
    delays = [EVEN.next_delay(attempt, PASSING, 0.0) for attempt in range(1, 6)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert RetryPolicy(max_attempts=9, jitter=lambda: 1.0).next_delay(8, PASSING, 0.0) == 8.0


def test_jitter_takes_up_to_half():
    assert RetryPolicy(jitter=lambda: 0.0).next_delay(1, PASSING, 0.0) == 0.25


@given(
    attempt=st.integers(1, 20),
    wait=st.none() | st.floats(0, 10_000),
    elapsed=st.floats(0, 1_000),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_no_wait_goes_over_the_budget_or_under_what_was_asked(attempt, wait, elapsed, jitter):
    policy = RetryPolicy(budget=120.0, jitter=lambda: jitter)
    delay = policy.next_delay(attempt, Trouble("passing", wait), elapsed)
    if delay is not None:
        assert attempt < policy.max_attempts
        assert elapsed + delay <= 120.0
        assert delay >= (wait or 0.0)
        assert delay > 0


def test_what_is_final_is_not_tried_again_and_a_stale_address_once_at_once():
    assert EVEN.next_delay(1, Trouble("final"), 0.0) is None
    assert EVEN.next_delay(1, Trouble("stale-address"), 0.0) == 0.0
    assert EVEN.next_delay(2, Trouble("stale-address"), 0.0) is None


def test_errors_and_bad_answers_are_outlasted():
    transport, memory, time = retrying(
        [
            Answer(error=Interrupted("reset")),
            Answer(503),
            Answer(error=TimedOut("x")),
            Answer(body=b"!"),
        ]
    )
    assert transport.send(Request("GET", URL)).read(10) == b"!"
    assert len(memory.requests) == 4
    assert time.naps == [0.5, 1.0, 2.0]


def test_a_storm_ends_with_the_last_answer():
    transport, memory, time = retrying(Answer(500))
    assert transport.send(Request("GET", URL)).status == 500
    assert len(memory.requests) == 6
    assert sum(time.naps) < 60


def test_a_dead_host_ends_with_its_error():
    transport, memory, time = retrying(Answer(error=ConnectFailed("refused")))
    with pytest.raises(ConnectFailed):
        transport.send(Request("GET", URL))
    assert len(memory.requests) > 1
    assert time.now <= 5


def test_a_dead_host_is_asked_as_long_as_the_policy_says():
    patient = RetryPolicy(connect_budget=120.0, jitter=lambda: 1.0)
    transport, memory, _ = retrying(Answer(error=ConnectFailed("refused")), patient)
    with pytest.raises(ConnectFailed):
        transport.send(Request("GET", URL))
    assert len(memory.requests) == 6


def test_a_tls_failure_is_told_at_once():
    transport, memory, time = retrying(Answer(error=ConnectFailed("self-signed", retryable=False)))
    with pytest.raises(ConnectFailed):
        transport.send(Request("GET", URL))
    assert (len(memory.requests), time.naps) == (1, [])


def test_a_wait_that_is_asked_is_kept():
    transport, _, time = retrying([Answer(429, {"Retry-After": "17"}), Answer()])
    assert transport.send(Request("GET", URL)).status == 200
    assert sum(time.naps) == 17.0


def test_a_wait_beyond_the_budget_is_not_begun():
    transport, memory, time = retrying(Answer(429, {"Retry-After": "3601"}))
    assert transport.send(Request("GET", URL)).status == 429
    assert (len(memory.requests), time.naps) == (1, [])


def test_a_limit_found_by_one_request_is_waited_for_by_the_next():
    other = "https://hub/y"
    transport, memory, time = retrying({URL: Answer(429, {"Retry-After": "50"}), other: Answer()})
    transport.send(Request("GET", URL, repeat=False))
    assert time.naps == []
    transport.send(Request("GET", other))
    assert time.naps == [50.0]
    assert time.now == 50.0
    transport.send(Request("GET", "https://hub/y"))
    assert time.now == 50.0
    assert len(memory.requests) == 3


def test_a_limit_of_one_origin_holds_up_no_other():
    transport, _, time = retrying(
        {URL: Answer(429, {"Retry-After": "50"}), "https://cdn/y": Answer()}
    )
    transport.send(Request("GET", URL, repeat=False))
    transport.send(Request("GET", "https://cdn/y"))
    assert time.naps == []


def test_a_request_not_to_be_repeated_is_sent_once():
    for answer in (Answer(503), Answer(error=Interrupted("x"))):
        transport, memory, _ = retrying(answer)
        with contextlib.suppress(Interrupted):
            transport.send(Request("GET", URL, repeat=False))
        assert len(memory.requests) == 1


def test_a_request_with_a_deadline_is_sent_once_and_waits_for_no_limit():
    transport, memory, time = retrying(Answer(429, {"Retry-After": "1"}))
    for _ in range(2):
        transport.send(Request("GET", URL, timeouts=Timeouts.within(2.0)))
    assert (len(memory.requests), time.naps) == (2, [])


def test_a_stale_signed_address_is_resolved_again():
    script = {
        URL: [
            Answer(302, {"Location": "https://cdn/old"}),
            Answer(302, {"Location": "https://cdn/new"}),
        ],
        "https://cdn/old": Answer(403),
        "https://cdn/new": Answer(body=b"!"),
    }
    time = Time()
    memory = MemoryTransport(script)
    transport = Retrying(
        Redirecting(memory, RedirectPolicy()), EVEN, clock=time.clock, sleep=time.sleep
    )
    assert transport.send(Request("GET", URL, repeat=False)).read(10) == b"!"
    assert sum(time.naps) == 0


def test_a_refusal_of_the_hub_itself_is_no_stale_address():
    transport, memory, _ = retrying(Answer(403))
    assert transport.send(Request("GET", URL)).status == 403
    assert len(memory.requests) == 1


def test_answers_that_are_given_up_are_closed():
    closed = []

    class Watching(MemoryTransport):
        def send(self, request):
            closed.append(super().send(request))
            return closed[-1]

    transport = Retrying(Watching({URL: [Answer(503), Answer()]}), EVEN, sleep=lambda _: None)
    transport.send(Request("GET", URL))
    assert [each.closed for each in closed] == [True, False]


class Told:
    """What other processes said of servers, and hear of them."""

    def __init__(self, **left):
        self.said = []
        self._left = left

    def tell(self, origin, seconds):
        self.said.append((origin, seconds))

    def left(self, origin):
        return self._left.get(origin.removeprefix("https://"), 0.0)


def shared(script, told):
    time = Time()
    memory = MemoryTransport(script)
    return Retrying(memory, EVEN, clock=time.clock, sleep=time.sleep, pauses=told), memory, time


def test_other_processes_hear_of_a_pause():
    told = Told()
    transport, _, _ = shared({URL: [Answer(429, {"Retry-After": "7"}), Answer()]}, told)

    transport.send(Request("GET", URL))

    assert told.said == [("https://hub", 7.0)]


def test_a_pause_that_another_process_was_told_is_kept_before_anything_is_asked():
    transport, memory, time = shared({URL: Answer()}, Told(hub=7.0))

    transport.send(Request("GET", URL))

    assert time.naps == [7.0]
    assert len(memory.requests) == 1


def test_a_pause_of_another_process_that_outlasts_the_budget_is_not_waited_for():
    transport, _, time = shared({URL: Answer()}, Told(hub=EVEN.budget + 1))

    transport.send(Request("GET", URL))

    assert time.naps == []


def test_a_question_with_a_limit_of_its_own_waits_for_no_pause():
    transport, _, time = shared({URL: Answer()}, Told(hub=7.0))

    transport.send(Request("GET", URL, timeouts=Timeouts.within(2.0)))

    assert time.naps == []
