"""Who brings which bytes of a large content: decided without a connection."""

from __future__ import annotations

import heapq
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.resolve import shares
from hubloader.resolve.shares import Share, Shares

MIB = 2**20
FIRST, SMALLEST, LARGEST = shares._FIRST_SHARE, shares._SMALLEST_SHARE, shares._LARGEST_SHARE
LAST = shares._LAST_SHARE


def regions(lengths):
    """Ranges of these lengths, with gaps that are there already."""
    ends = list(itertools.accumulate(length + 10 for length in lengths))
    return [(end - length - 10, end - 10) for end, length in zip(ends, lengths, strict=True)]


@given(
    lengths=st.lists(st.integers(1, 300 * MIB), min_size=1, max_size=4),
    most=st.integers(1, 16),
    draw=st.data(),
)
def test_every_byte_is_taken_once_whoever_is_fast(lengths, most, draw):
    missing = regions(lengths)
    division, now = Shares(missing), 0.0
    working: list[Share] = []
    brought: list[tuple[int, int]] = []
    while True:
        if len(working) < most and (share := division.take(now, most)) is not None:
            share.begin(now, now + 0.01)
            working.append(share)
            continue
        if not working:
            break
        share = working.pop(draw.draw(st.integers(0, len(working) - 1)))
        now += draw.draw(st.floats(0.001, 10.0))
        brought.append((share.start, share.end or 0))
        share.position = share.end or 0
        division.done(share, now)

    brought.sort()
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(brought))
    assert sum(end - start for start, end in brought) == sum(lengths)
    assert brought[0][0] == missing[0][0]
    assert brought[-1][1] == missing[-1][1]


def test_shares_are_taken_from_the_front_so_that_hashing_can_go_along():
    division = Shares([(0, 100 * MIB)])

    taken = [division.take(0.0, 1) for _ in range(4)]

    assert [share.position for share in taken] == [0, FIRST, 2 * FIRST, 3 * FIRST]


def bring(division: Shares, working: int = 1, *, wait: float, rate: float, count: int) -> Share:
    now = 0.0
    for _ in range(count):
        share = division.take(now, working)
        share.begin(now, now + wait)
        now += wait + share.left / rate
        share.position = share.end
        division.done(share, now)
    return division.take(now, working)


def test_a_distant_server_is_asked_for_large_shares_and_a_near_one_for_small_ones():
    near = bring(Shares([(0, 2**40)]), wait=0.005, rate=20e6, count=10)
    distant = bring(Shares([(0, 2**40)]), wait=0.2, rate=20e6, count=10)
    endless = bring(Shares([(0, 2**40)]), wait=9.0, rate=1e9, count=20)

    assert abs(near.left - SMALLEST) < MIB
    assert 36e6 < distant.left <= 40e6  # two seconds' worth, for a fifth of a second
    assert abs(endless.left - LARGEST) < MIB


def test_at_the_end_shares_are_small_enough_for_every_connection():
    last = bring(Shares([(0, 500 * MIB)]), 16, wait=9.0, rate=1e9, count=9)

    assert SMALLEST < last.left <= 500 * MIB // 16


def test_half_of_what_the_slowest_has_left_is_taken_over():
    division = Shares([(0, SMALLEST * 4 - 1)])
    slow = division.take(0.0, 1)
    rest = list(iter(lambda: division.take(0.0, 1), None))
    slow.end, slow.position = 100 * MIB, 20 * MIB

    taken = division.take(0.0, 1)

    assert rest
    assert (taken.position, taken.end) == (60 * MIB, 100 * MIB)
    assert slow.end == 60 * MIB


def test_what_comes_within_moments_is_left_to_who_has_it():
    division = Shares([(0, FIRST)])
    share = division.take(0.0, 1)
    share.begin(0.0, 0.0)
    share.position, share.end = 900 * MIB, 1000 * MIB

    assert division.take(1.0, 1) is None  # a tenth of a second is left
    assert division.take(9.0, 1) is not None  # at a ninth of that rate, a second


def test_too_little_is_not_divided():
    division = Shares([(0, LAST)])

    assert division.take(0.0, 4).left == LAST
    assert division.take(0.0, 4) is None


def ended(size: int, rate: float, wait: float, begins: list[float]) -> tuple[list[float], int]:
    """When each connection of a steady line is done, and how many shares they had in all."""
    division, counted, last = Shares([(0, size)]), 0, []
    free = [(at, number, None) for number, at in enumerate(begins)]
    heapq.heapify(free)
    under_way: list[Share] = []
    while free:
        now, number, had = heapq.heappop(free)
        for share in under_way:
            share.position = share.start + int(max(0.0, now - share.began) * rate)
        if had is not None:
            under_way.remove(had)
            had.position = had.end
            division.done(had, now)
        working = sum(at <= now for at in begins) - len(last)
        share = division.take(now, working)
        if share is None:
            last.append(now)
            continue
        counted += 1
        share.begin(now, now + wait)
        under_way.append(share)
        heapq.heappush(free, (now + wait + share.left / rate, number, share))
    return last, counted


@pytest.mark.parametrize("begins", [[0.0] * 16, [0.0] * 4 + [0.1] * 4 + [0.17] * 8])
def test_connections_of_a_steady_line_end_together(begins):
    last, counted = ended(268_000_000, rate=20e6, wait=0.01, begins=begins)

    assert max(last) - min(last) <= LAST / 20e6 + 0.05
    assert counted <= 3 * len(begins)
