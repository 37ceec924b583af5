"""Byte ranges behave as the sets of bytes they stand for."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hubloader.cache.ranges import Ranges

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def as_set(ranges: Ranges) -> set[int]:
    return {byte for start, end in ranges for byte in range(start, end)}


@given(pairs)
def test_adding_is_union_and_the_ranges_stay_merged_and_in_order(given_pairs):
    ranges = Ranges(given_pairs)
    expected = {byte for start, end in given_pairs for byte in range(start, end)}
    found = list(ranges)

    assert as_set(ranges) == expected
    assert all(a[1] < b[0] for a, b in itertools.pairwise(found))
    assert ranges.total == len(expected)
    assert ranges.end == max(expected, default=-1) + 1
    assert ranges.prefix == next(i for i in range(62) if i not in expected)


@given(pairs, st.integers(0, 60), st.integers(0, 60))
def test_missing_is_the_difference(given_pairs, start, end):
    ranges = Ranges(given_pairs)
    gaps = ranges.missing(start, end)

    assert {b for s, e in gaps for b in range(s, e)} == set(range(start, end)) - as_set(ranges)
    assert gaps == list(Ranges(gaps))


@given(pairs, st.integers(0, 60), st.integers(0, 60))
def test_removing_is_difference(given_pairs, start, end):
    ranges = Ranges(given_pairs)
    before = as_set(ranges)
    ranges.remove(start, end)

    assert as_set(ranges) == before - set(range(start, end))
