"""What is kept of single answers about files, where an endpoint lists nothing."""

from __future__ import annotations

import json

import pytest

from hubloader.cache.layout import CacheLayout
from hubloader.cache.told import Told, format_told, parse_told, read_told
from hubloader.types import CommitHash, Entry, RepoId

COMMIT = CommitHash("c" * 40)
GIT, SHA = Entry(5, git_sha1="a" * 40), Entry(9, sha256="b" * 64, xet_hash="d" * 64)
TOLD = Told("https://m", {"config.json": GIT, "w": SHA, "x": Entry(None)}, {"gone": 10.0})
HOUR = 3600.0


@pytest.fixture
def layout(tmp_path):
    return CacheLayout(tmp_path).repo(RepoId.parse("org/name"))


def keep(layout, told):
    path = layout.told(COMMIT)
    from pathlib import Path

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(format_told(told))


def test_what_was_written_is_read():
    assert parse_told(format_told(TOLD)) == TOLD


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"files": {"../x": {}}},
        {"files": {"x": {"etag": "../../x"}}},
        {"files": {"x": {"size": -1}}},
        {"files": {"x": {"size": True}}},
        {"files": []},
        {"absent": {"../x": 1.0}},
        {"absent": {"x": "soon"}},
    ],
)
def test_a_record_that_cannot_be_ours_counts_as_none(change):
    document = json.loads(format_told(TOLD))

    assert parse_told(json.dumps({**document, **change}).encode()) is None
    assert parse_told(b"{") is None
    assert parse_told(b"[" * 100_000) is None


def test_another_endpoint_told_nothing(layout):
    keep(layout, TOLD)

    assert read_told(layout, COMMIT, "https://other") is None
    assert read_told(layout, "e" * 40, "https://m") is None


def test_an_absence_counts_for_a_day_and_a_description_for_ever(layout):
    keep(layout, TOLD)

    fresh = read_told(layout, COMMIT, "https://m", now=lambda: 10.0 + 23 * HOUR)
    old = read_told(layout, COMMIT, "https://m", now=lambda: 10.0 + 25 * HOUR)

    assert fresh == TOLD
    assert old is not None
    assert (dict(old.absent), old.entries) == ({}, TOLD.entries)


def test_what_is_told_later_adds_to_it_and_takes_no_description_away():
    later = Told("https://m", {"x": GIT, "w": Entry(None), "gone": GIT}, {"new": 20.0}, listed=True)

    both = later.merged(TOLD)

    assert both.entries == {"config.json": GIT, "w": SHA, "x": GIT, "gone": GIT}
    assert both.absent == {"new": 20.0}
    assert both.listed


def test_an_absence_that_is_told_again_is_as_old_as_at_first():
    again = Told("https://m", {}, {"gone": 99.0})

    assert again.merged(TOLD).absent == {"gone": 10.0}
