"""A journal gives back what was noted, whatever cut it off."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hubloader.cache.journal import (
    boot_line,
    hash_line,
    parse_journal,
    sparse_line,
    write_line,
)

DIGEST = "cd" * 32
JOURNAL = b"".join(
    [
        boot_line("0badcafe"),
        hash_line(8, DIGEST),
        sparse_line(),
        write_line(0, 8),
        write_line(16, 24),
    ]
)


def test_what_was_noted_is_read_back():
    state = parse_journal(JOURNAL)

    assert state.boot == "0badcafe"
    assert state.sparse
    assert list(state.written) == [(0, 8), (16, 24)]
    assert state.hashes == [(8, DIGEST)]


def test_a_file_without_holes_is_there_up_to_its_length():
    assert list(parse_journal(boot_line("0badcafe")).available(100)) == [(0, 100)]


def test_a_file_with_holes_is_there_where_it_was_noted_and_still_long_enough():
    assert list(parse_journal(JOURNAL).available(20)) == [(0, 8), (16, 20)]


@given(st.integers(0, len(JOURNAL)))
def test_a_journal_cut_anywhere_claims_nothing_more(length):
    whole, cut = parse_journal(JOURNAL), parse_journal(JOURNAL[:length])

    assert set(cut.written) <= set(whole.written)
    assert cut.hashes == whole.hashes[: len(cut.hashes)]


@given(st.binary(max_size=200))
def test_garbage_claims_nothing_and_raises_nothing(garbage):
    state = parse_journal(b"\x00" + garbage)

    assert list(state.written) == []
    assert state.hashes == []
