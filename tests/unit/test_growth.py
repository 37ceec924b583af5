"""How many connections a large content gets: decided without one."""

from __future__ import annotations

import pytest

from hubloader.resolve.growth import Growth

MB = 1_000_000
LOOK = 0.05  # seconds


def connections(rate_of, busy_of, *, first=4, most=16, looks=20):
    """How many there are in the end, where ``rate_of`` and ``busy_of`` so many are known."""
    now, received, processor, count = 0.0, 0, 0.0, first
    growth = Growth(now, received, processor)
    for _ in range(looks):
        now += LOOK
        received += int(rate_of(count) * LOOK)
        processor += busy_of(count) * LOOK
        if growth.helps(now, received, processor):
            count = min(most, 2 * count)
    return count


def test_connections_that_are_each_held_to_a_rate_become_as_many_as_may_be():
    assert connections(lambda count: count * 20 * MB, lambda count: count * 0.03) == 16


def test_a_line_that_is_full_gets_no_more_than_showed_it():
    assert connections(lambda _: 100 * MB, lambda _: 0.2) == 8


def test_a_processor_that_is_busy_gets_no_more_to_do():
    assert connections(lambda count: count * 200 * MB, lambda _: 0.9) == 4


@pytest.mark.parametrize("waited", [0, 1, 5])
def test_the_wait_for_a_first_byte_is_no_slow_rate(waited):
    growth, now = Growth(0.0, 0, 0.0), 0.0
    for _ in range(waited):
        now += LOOK
        assert not growth.helps(now, 0, 0.0)

    assert growth.helps(now + LOOK, MB, 0.001)
    assert not growth.helps(now + 2 * LOOK, 2 * MB, 0.002)  # as fast as before


def test_what_was_there_before_is_not_counted_as_brought():
    growth = Growth(0.0, 100 * MB, 0.0)
    assert not growth.helps(LOOK, 100 * MB, 0.0)
    assert growth.helps(2 * LOOK, 101 * MB, 0.0)
    assert not growth.helps(3 * LOOK, 102 * MB, 0.0)
