"""A journal gives back what was noted, whatever cut it off."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hubloader.cache import journal
from hubloader.cache.journal import (
    GrowingJournal,
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


def facts(state):
    return state.boot, list(state.written), state.sparse, state.hashes


@given(st.lists(st.integers(min_value=1, max_value=60)))
def test_a_journal_that_grows_says_the_same_however_often_it_is_looked_at(cuts):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        path.write_bytes(b"")
        growing, written = GrowingJournal(str(path)), b""
        for cut in [*cuts, len(JOURNAL)]:
            written = JOURNAL[: len(written) + cut]
            path.write_bytes(written)
            state = growing.read()

            assert facts(state) == facts(parse_journal(written))


def test_each_line_of_a_journal_that_grows_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    seen = []
    parse = journal.parse_journal
    monkeypatch.setattr(
        journal, "parse_journal", lambda data, state: (seen.append(data), parse(data, state))[1]
    )
    growing = GrowingJournal(str(path))
    for end in (8, 20, len(JOURNAL), len(JOURNAL)):
        path.write_bytes(JOURNAL[:end])
        growing.read()

    assert b"".join(seen) == JOURNAL
    assert seen[-1] == b""


def test_a_journal_that_was_begun_anew_is_read_anew(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(JOURNAL)
    growing = GrowingJournal(str(path))
    growing.read()
    path.write_bytes(boot_line("0badcafe"))

    assert facts(growing.read()) == facts(parse_journal(boot_line("0badcafe")))


def test_a_content_of_terabytes_is_noted_like_a_small_one():
    far = 2**62
    data = boot_line("0badcafe") + sparse_line() + write_line(far, far + 5) + hash_line(far, DIGEST)

    state = parse_journal(data)

    assert list(state.available(far + 9)) == [(far, far + 5)]
    assert state.hashes == [(far, DIGEST)]
