from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.transport.base import Headers
from hubloader.transport.pacing import (
    RateLimit,
    format_http_date,
    format_rate_limit,
    format_retry_after,
    parse_rate_limit,
    parse_retry_after,
    wait_asked,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)


@given(st.integers(0, 10**9))
def test_seconds_are_read_as_they_were_written(seconds):
    assert parse_retry_after(format_retry_after(seconds)) == seconds


@given(st.integers(0, 10**8))
def test_a_date_is_read_as_it_was_written(seconds):
    text = format_http_date(NOW + timedelta(seconds=seconds))
    assert parse_retry_after(text, now=NOW) == seconds


def test_seconds_are_rounded_up_so_that_nobody_comes_too_early():
    assert format_retry_after(0.2) == "1"


def test_a_date_that_has_passed_is_no_wait():
    assert parse_retry_after(format_http_date(NOW - timedelta(hours=1)), now=NOW) == 0.0


def test_a_date_without_a_zone_is_utc():
    assert parse_retry_after("Sun, 22 Nov 2026 12:00:05 -0000", now=NOW) == 5.0


def test_the_clock_is_asked_where_no_time_is_given():
    assert parse_retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "9" * 50, "Sun, 99 Nov 2026 99:00:00"])
def test_what_is_neither_is_not_known(text):
    assert parse_retry_after(text) is None


@given(
    st.builds(
        RateLimit,
        st.from_regex(r"[a-z ]{0,9}", fullmatch=True),
        st.integers(0, 10**9),
        st.integers(0, 10**9),
    )
)
def test_a_rate_limit_is_read_as_it_was_written(limit):
    assert parse_rate_limit(format_rate_limit(limit)) == limit


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "soon"}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 56.0),
        ({"RateLimit": '"api";r=3;t=55'}, None),
        ({"RateLimit": "nonsense"}, None),
        ({"Retry-After": "7", "RateLimit": '"api";r=0;t=55'}, 7.0),
        ({"Retry-After": "soon", "RateLimit": '"api";r=0;t=55'}, 56.0),
    ],
)
def test_an_answer_says_how_long_to_wait(headers, wait):
    assert wait_asked(Headers(headers)) == wait


def test_a_date_is_counted_from_the_servers_clock_where_it_tells_it():
    past = datetime(1999, 1, 1, tzinfo=timezone.utc)
    told = {"Retry-After": format_http_date(past + timedelta(seconds=9))}

    assert wait_asked(Headers({**told, "Date": format_http_date(past)})) == 9.0
    assert wait_asked(Headers({**told, "Date": "never"})) == 0.0
