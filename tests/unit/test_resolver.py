"""What an answer of the Hub means: every cell of the table in resolve/resolver.py."""

from __future__ import annotations

import pytest

from hubloader.errors import (
    AuthenticationRequired,
    ConnectFailed,
    CorruptFile,
    Forbidden,
    GatedRepository,
    HubloaderError,
    Interrupted,
    ListingUnavailable,
    MalformedAnswer,
    RateLimited,
    RedirectRefused,
    RepositoryNotFound,
    RevisionNotFound,
    ServerFailed,
    TimedOut,
)
from hubloader.resolve.answers import (
    Denied,
    Listed,
    Reachability,
    RevisionMissing,
    Unchanged,
    Unreachable,
    Verdict,
    classify,
    is_of_the_endpoint,
    judge,
)
from hubloader.types import CommitHash, Manifest, Mode, Refresh, RepoId

ERROR = HubloaderError("no")
MANIFEST = Manifest(RepoId.parse("org/name"), "main", CommitHash("c" * 40), {})
SESSION, ALWAYS = Refresh.SESSION, Refresh.ALWAYS


@pytest.mark.parametrize(
    ("answer", "mode", "refresh", "cached", "verdict"),
    [
        (Listed(MANIFEST), Mode.ONLINE, SESSION, True, Verdict.NEW),
        (Listed(MANIFEST), Mode.ONLINE, SESSION, False, Verdict.NEW),
        (Listed(MANIFEST), Mode.FORCE, SESSION, True, Verdict.NEW),
        (Unchanged(), Mode.ONLINE, SESSION, True, Verdict.CACHED),
        (Unchanged(), Mode.ONLINE, ALWAYS, True, Verdict.CACHED),
        (RevisionMissing(ERROR), Mode.ONLINE, SESSION, True, Verdict.RAISE),
        (RevisionMissing(ERROR), Mode.ONLINE, SESSION, False, Verdict.RAISE),
        (RevisionMissing(ERROR), Mode.FORCE, SESSION, True, Verdict.RAISE),
        (Denied(ERROR), Mode.ONLINE, SESSION, True, Verdict.STALE),
        (Denied(ERROR), Mode.ONLINE, 60.0, True, Verdict.STALE),
        (Denied(ERROR), Mode.ONLINE, ALWAYS, True, Verdict.RAISE),
        (Denied(ERROR), Mode.ONLINE, SESSION, False, Verdict.RAISE),
        (Denied(ERROR), Mode.FORCE, SESSION, True, Verdict.RAISE),
        (Unreachable(ERROR), Mode.ONLINE, SESSION, True, Verdict.STALE),
        (Unreachable(ERROR), Mode.ONLINE, ALWAYS, True, Verdict.STALE),
        (Unreachable(ERROR), Mode.ONLINE, SESSION, False, Verdict.MISS),
        (Unreachable(ERROR), Mode.FORCE, SESSION, True, Verdict.RAISE),
        (Unreachable(ERROR), Mode.FORCE, SESSION, False, Verdict.RAISE),
    ],
)
def test_each_answer_has_one_verdict(answer, mode, refresh, cached, verdict):
    assert judge(answer, mode, refresh, cached=cached) is verdict


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RevisionNotFound("x"), RevisionMissing),
        (RepositoryNotFound("x"), Denied),
        (GatedRepository("x"), Denied),
        (AuthenticationRequired("x"), Denied),
        (Forbidden("x"), Denied),
        (ConnectFailed("x", retryable=False), Unreachable),
        (TimedOut("x"), Unreachable),
        (RateLimited("x"), Unreachable),
        (ServerFailed("x", status=503), Unreachable),
        (MalformedAnswer("x"), Unreachable),
        (ListingUnavailable("x"), Unreachable),
    ],
)
def test_each_error_of_the_client_is_one_kind_of_answer(error, kind):
    assert isinstance(classify(error), kind)


def test_an_error_that_is_no_answer_is_raised():
    with pytest.raises(CorruptFile):
        classify(CorruptFile("x"))


def test_an_endpoint_that_failed_is_left_alone_for_a_while_and_told_of_once():
    now = [0.0]
    state = Reachability(lambda: now[0])
    assert state.recent_failure() is None

    state.failed(ERROR)
    assert state.recent_failure() is ERROR
    assert [state.to_be_told(), state.to_be_told()] == [True, False]

    now[0] = 301.0
    assert state.recent_failure() is None
    assert not state.to_be_told()


@pytest.mark.parametrize(
    ("error", "whole"),
    [
        (ConnectFailed("x"), True),
        (TimedOut("x"), True),
        (Interrupted("x"), True),
        (RateLimited("x"), True),
        (ServerFailed("x", status=503), True),
        (ServerFailed("x", status=522), True),
        (ServerFailed("x", status=500), False),
        (ServerFailed("x", status=400), False),
        (MalformedAnswer("x"), False),
        (ListingUnavailable("x"), False),
        (RedirectRefused("x"), False),
    ],
)
def test_what_fails_of_one_repository_says_nothing_of_the_endpoint(error, whole):
    assert is_of_the_endpoint(error) is whole


def test_an_endpoint_that_answered_is_asked_again():
    state = Reachability()
    state.failed(ERROR)

    state.answered()

    assert state.recent_failure() is None
