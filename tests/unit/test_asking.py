"""Who asks for a listing, and who is told: every line of the table in cache/asking.py."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cache_cases import REPO, content, entry, manifest

from hubloader.cache import asking
from hubloader.cache.asking import PATIENCE, Question
from hubloader.cache.layout import CacheLayout
from hubloader.cache.leases import Grip

ASKER = "of this endpoint and token"
LISTED = replace(manifest({"config.json": content(10)}), repo=REPO, revision="main", moved=True)


class Clock:
    """Time that passes only while somebody sleeps; ``then`` is done once, at the first step."""

    def __init__(self, then=lambda: None) -> None:
        self.now = 100.0
        self._then = then

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        then, self._then = self._then, lambda: None
        then()


@pytest.fixture
def path(tmp_path):
    return CacheLayout(tmp_path / "hub").ask(REPO, "main")


def question(path, clock, asker=ASKER) -> Question:
    return Question(path, asker, REPO, "main", clock=clock, sleep=clock.sleep)


def told_to_another(path, *, first, after=0.0, asker=ASKER, tell=LISTED) -> Question:
    """Have ``first`` hold the turn while another waits, then put its question and tell."""

    def ask() -> None:
        clock.now += after
        first.put()
        if tell is not None:
            first.tell(tell)
        first.__exit__(None, None, None)

    clock = Clock(ask)
    first._clock = clock  # one machine, one clock
    first.__enter__()
    with question(path, clock, asker) as second:
        second.seen = os.path.exists(path)  # whether it has a turn of its own
    return second


def test_who_comes_first_asks_and_nothing_is_left_on_the_disk(path, tmp_path):
    with question(path, Clock()) as first:
        assert first.answer is None
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        first.tell(LISTED)

    assert list(tmp_path.iterdir()) == []


def test_who_waits_is_told_what_was_asked_after_it_came(path, tmp_path):
    second = told_to_another(path, first=question(path, Clock()))

    assert second.answer == LISTED
    assert second.answer.moved
    assert list(tmp_path.iterdir()) == []


def test_an_answer_to_an_earlier_question_is_not_taken(path):
    second = told_to_another(path, first=question(path, Clock()), after=-50.0)

    assert second.answer is None
    assert second.seen


def test_an_answer_to_another_token_is_not_taken(path):
    second = told_to_another(path, first=question(path, Clock()), asker="another token")

    assert second.answer is None
    assert second.seen


def test_after_a_question_that_failed_each_asks_by_itself(path):
    second = told_to_another(path, first=question(path, Clock()), tell=None)

    assert second.answer is None
    assert not second.seen


@pytest.mark.parametrize(
    "answer",
    [
        replace(LISTED, complete=False),
        replace(LISTED, entries={"config.json": replace(entry(b""), size=None)}),
    ],
)
def test_what_is_no_whole_listing_is_not_told(path, answer):
    assert told_to_another(path, first=question(path, Clock()), tell=answer).answer is None


def test_a_turn_that_takes_long_is_not_waited_for(path):
    clock = Clock()
    with question(path, clock), question(path, clock) as second:
        assert second.answer is None

    assert PATIENCE <= clock.now - 100.0 < PATIENCE + 1


def test_the_turn_of_a_killed_process_is_taken_over(path):
    os.makedirs(os.path.dirname(path))
    Path(path).write_bytes(b'{"asker": "half of an ans')

    with question(path, Clock()) as first:
        assert first.answer is None
        assert Path(path).read_bytes() == b""
    assert not os.path.exists(path)


def test_what_another_user_wrote_is_not_believed(path, monkeypatch):
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)

    with question(path, Clock()) as first:
        assert first._turn < 0


@pytest.mark.parametrize("broken", ["open", "flock"])
def test_where_there_are_no_turns_each_asks_by_itself(path, tmp_path, monkeypatch, broken):
    if broken == "flock":
        monkeypatch.setattr(asking, "grip", lambda _descriptor, **_options: Grip.NONE)
    else:

        def refuse(*_arguments):
            raise OSError(errno.EROFS, "read-only")

        monkeypatch.setattr(os, "open", refuse)

    with question(path, Clock()) as first:
        first.put()
        first.tell(LISTED)
        assert first.answer is None
    assert list(tmp_path.iterdir()) == []


def test_a_failed_question_leaves_no_turn(path, tmp_path):
    def fail() -> None:
        with question(path, Clock()):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    assert list(tmp_path.iterdir()) == []
