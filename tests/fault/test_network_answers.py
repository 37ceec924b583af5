"""Rows 4, 20 to 24, 27 to 29 and 34 to 40: answers that are none, or other than they should be.

Rows 38 and 39 are about a cache that is warm: what the network does then must not cost it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import fault_hub as faults
import pytest
from aiohttp import web
from fault_hub import Asked, Fault, Injected, _simple, body, listing, metadata
from network_world import (
    NAME,
    PATIENCE,
    VOCAB,
    WEIGHTS,
    World,
    in_time,
    mute,
    unsized,
    write_repo,
)

from hubloader.errors import (
    CacheMiss,
    EntryNotFound,
    Forbidden,
    HubError,
    HubloaderError,
    IntegrityError,
    MalformedAnswer,
    RateLimited,
    RedirectRefused,
    RepositoryNotFound,
    ServerFailed,
    TransportError,
)
from hubloader.transport.pacing import format_http_date
from hubloader.types import ModelRef, Purpose, RepoId

VOCAB_ALONE = Purpose(exact=(VOCAB,))
NOT_ITS_WORD = ("permission", "token", "logged in")


def lists_nothing(world: World) -> None:
    """Make the Hub a mirror that knows single files only."""
    world.inject(faults.status(404, "Not Found"), listing(), times=None)


def warm(world: World) -> None:
    """Load once, so that everything is cached."""
    world.load_well()
    world.hub.server.forget()


def load_with_warnings(world: World, **changed: str) -> list[str]:
    """Load well, and give the warnings."""

    def call() -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = world.session(**changed).files(ModelRef(repo=RepoId.parse(NAME)), Purpose())
            assert {n: found.path(n).read_bytes() for n in world.files} == world.files
        return [str(each.message) for each in caught if each.category is UserWarning]

    return in_time(call)


def root_of(error: BaseException) -> BaseException:
    """The network's own error beneath a CacheMiss."""
    while isinstance(error, CacheMiss) and error.__cause__ is not None:
        error = error.__cause__
    return error


# Row 4: closed without a word

REQUESTS = {
    "listing": listing(),
    "regular file": metadata(VOCAB, "GET"),
    "redirect of an LFS file": metadata(WEIGHTS, "GET"),
    "LFS file": body(WEIGHTS),
}


@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
@pytest.mark.parametrize("which", REQUESTS)
@pytest.mark.parametrize("times", [1, 3])
def test_a_connection_that_closes_without_a_word_is_tried_again(world, reset, which, times):
    fault = world.inject(faults.close_before_status(reset=reset), REQUESTS[which], times)

    world.load_well()

    assert fault.hits == times


@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
@pytest.mark.parametrize("which", REQUESTS)
def test_a_server_that_never_says_a_word_is_given_up(world, reset, which):
    fault = world.inject(faults.close_before_status(reset=reset), REQUESTS[which], times=None)

    error = world.load_badly()

    assert isinstance(root_of(error), TransportError)
    assert error.exit_code == 75
    assert fault.hits <= 6


@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
def test_a_silent_answer_about_a_single_file_is_asked_for_again(world, reset):
    lists_nothing(world)
    fault = world.inject(faults.close_before_status(reset=reset), metadata(VOCAB, "HEAD"), 2)

    world.load_well(purpose=VOCAB_ALONE)

    assert fault.hits == 2


# Rows 20 to 22: too many requests


@pytest.mark.parametrize("which", REQUESTS)
@pytest.mark.parametrize("form", ["seconds", "date", "RateLimit"])
def test_a_short_wait_that_is_asked_for_is_kept(world, which, form):
    seen: list[float] = []

    def note(asked: Asked) -> bool:
        if REQUESTS[which](asked):
            seen.append(time.monotonic())
        return False

    async def wait_a_moment(asked: Asked) -> web.StreamResponse:
        when = datetime.now(timezone.utc) + timedelta(seconds=2.5)  # a date has whole seconds
        fields = {
            "seconds": {"Retry-After": "1"},
            "date": {"Retry-After": format_http_date(when)},
            "RateLimit": {"RateLimit": '"api";r=0;t=0'},
        }[form]
        return await faults.status(429, **fields)(asked)

    world.inject(faults.status(500), note)
    world.inject(wait_a_moment, REQUESTS[which])

    world.load_well()

    assert len(seen) == 2
    assert seen[1] - seen[0] >= 0.99


@pytest.mark.parametrize("which", REQUESTS)
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_wait_beyond_the_budget_fails_at_once_and_says_how_long(world, which, form):
    when = datetime.now(timezone.utc) + timedelta(seconds=3610)
    told = "3600" if form == "seconds" else format_http_date(when)
    fault = world.inject(faults.status(429, Retry_After=told), REQUESTS[which], times=None)

    error = root_of(world.load_badly())

    assert isinstance(error, RateLimited)
    assert error.retry_after is not None
    assert 3500 < error.retry_after <= 3610
    assert str(int(error.retry_after))[:2] in str(error)
    assert fault.hits == 1


def test_a_storm_of_429_on_single_files_ends_with_the_number(world):
    lists_nothing(world)
    fault = world.inject(faults.status(429), metadata(method="HEAD"), times=None)

    error = world.load_badly()

    assert isinstance(root_of(error), RateLimited)
    assert "too many requests" in str(error)
    assert fault.hits <= 6


def test_one_429_holds_back_every_thread(world):
    closed: list[float] = []

    def is_closed(asked: Asked) -> bool:
        if not metadata(method="GET")(asked):
            return False
        closed[:] = closed or [time.monotonic()]
        return time.monotonic() - closed[0] < 1.0

    fault = world.inject(faults.status(429, Retry_After="1"), is_closed, times=None)

    world.load_well()

    assert 1 <= fault.hits <= len(world.files)


ANOTHER_PROCESS = """
import sys
from hubloader import snapshot_download
import hubloader.resolve.engine, hubloader.transport.http
print("ready", flush=True)
sys.stdin.readline()
snapshot_download(sys.argv[1], endpoint=sys.argv[2], cache_dir=sys.argv[3])
"""
ANOTHER_NAME = "org/another"


def another_process(world: World, name: str) -> subprocess.Popen[str]:
    """A process that has imported what it needs, and loads when its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", ANOTHER_PROCESS, name, world.hub.url, str(world.cache)],
        env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def test_one_429_holds_back_every_process(world):
    """The second process begins while the first waits, and asks nothing before its time.

    It asks for another repository: of the same, the first one's question would hold it back too.
    """
    wait = 4
    write_repo(world.hub.root, world.files, ANOTHER_NAME)
    world.cache.mkdir()
    closed: list[float] = []

    def is_closed(_asked: Asked) -> bool:
        closed[:] = closed or [time.monotonic()]
        return time.monotonic() - closed[0] < wait - 0.1  # they count by another clock

    fault = world.inject(faults.status(429, Retry_After=str(wait)), is_closed, times=None)
    pauses = world.cache / ".locks/.hubloader/pauses"
    with another_process(world, NAME) as first, another_process(world, ANOTHER_NAME) as second:
        first.stdin.close()
        assert in_time(lambda: _comes(lambda: list(pauses.glob("*")), first))
        second.stdin.close()
        second.wait(PATIENCE)
        first.wait(PATIENCE)

    assert (first.returncode, second.returncode) == (0, 0)
    assert fault.hits == 1
    assert list(pauses.glob("*")) == []
    world.load_well()


def _comes(look: Callable[[], object], process: subprocess.Popen[str]) -> bool:
    while not look():
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    return True


# Rows 23 and 24: the server fails


@pytest.mark.parametrize("code", [408, 500, 502, 503, 504])
@pytest.mark.parametrize("which", REQUESTS)
def test_a_server_that_fails_once_is_asked_again(world, which, code):
    fault = world.inject(faults.status(code), REQUESTS[which])

    world.load_well()

    assert fault.hits == 1


@pytest.mark.parametrize("which", REQUESTS)
def test_a_server_that_keeps_failing_is_given_up(world, which):
    fault = world.inject(faults.status(503), REQUESTS[which], times=None)

    error = world.load_badly()

    cause = root_of(error)
    assert isinstance(cause, ServerFailed)
    assert cause.status == 503
    assert error.exit_code == 75
    assert fault.hits <= 6


def test_a_storage_that_fails_for_every_file_is_asked_a_bounded_number_of_times(world):
    fault = world.inject(faults.status(500), metadata(method="GET"), times=None)

    error = world.load_badly()

    assert isinstance(error, ServerFailed)
    assert {each.filename for each in error.failures} == set(world.files)
    assert fault.hits <= 6 * len(world.files)


def test_a_storage_that_was_given_up_on_is_asked_once_about_each_file_that_is_left(world):
    fault = world.inject(faults.status(500), metadata(method="GET"), times=None)

    error = world.load_badly(HUBLOADER_MAX_WORKERS="1")

    assert {each.filename for each in error.failures} == set(world.files)
    assert fault.hits == 6 + len(world.files) - 1


# Rows 27 and 28: redirects


@pytest.mark.parametrize("which", REQUESTS)
def test_a_redirect_that_goes_round_is_refused_with_its_chain(world, which):
    fault = world.inject(faults.redirect_loop(), REQUESTS[which], times=None)

    error = root_of(world.load_badly())

    assert isinstance(error, RedirectRefused)
    assert " -> " in str(error)
    assert fault.hits == 1


def test_a_question_about_a_file_that_goes_round_is_refused(world):
    lists_nothing(world)
    world.inject(faults.redirect_loop(), metadata(VOCAB, "HEAD"), times=None)

    error = root_of(world.load_badly(purpose=VOCAB_ALONE))

    assert isinstance(error, RedirectRefused)


@pytest.mark.parametrize("which", REQUESTS)
@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://hub.example/x",
        "javascript:alert(1)",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://user:word@127.0.0.1/",
        "//",
        "http://[x",
        "http://127.0.0.1:99999/",
    ],
)
def test_a_redirect_to_what_no_hub_means_is_refused(world, which, location):
    world.inject(faults.redirect(location), REQUESTS[which], times=None)

    error = root_of(world.load_badly())

    assert isinstance(error, RedirectRefused)


def test_a_chain_of_more_than_five_redirects_is_refused(world):
    def onward(asked: Asked) -> web.StreamResponse:
        step = int(asked.request.query.get("step", "0")) + 1
        location = f"{asked.request.path}?step={step}"
        return web.Response(status=307, headers={"Location": location})

    fault = world.inject(_simple(onward), metadata(VOCAB, "GET"), times=None)

    error = world.load_badly()

    assert isinstance(error, RedirectRefused)
    assert fault.hits == 6


# Row 29: a signed address that ran out


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_an_address_that_ran_out_is_asked_for_anew(world, code):
    fault = world.inject(faults.status(code), storage)

    world.load_well()

    assert fault.hits == 1


@pytest.mark.parametrize("code", [401, 403])
def test_an_address_that_ran_out_before_a_resume_is_asked_for_anew(world, code):
    world.inject(faults.cut(after=120_000), body(WEIGHTS))
    fault = world.inject(faults.status(code), storage)

    world.load_well()

    assert fault.hits == 1
    assert len(world.asked(WEIGHTS)) == 3
    assert world.asked(WEIGHTS)[2].startswith("bytes=120000-")


def test_a_storage_that_always_refuses_is_no_matter_of_the_token(world):
    fault = world.inject(faults.status(403), storage, times=None)

    error = world.load_badly()

    assert isinstance(error, ServerFailed)
    assert "storage" in str(error)
    assert "permission" not in str(error)
    assert fault.hits <= 3


def storage(asked: Asked) -> bool:
    """A request at the second origin."""
    return asked.request.path.startswith("/content/")


# Rows 34 to 37: someone else answers


def test_a_login_page_in_place_of_the_listing_is_told_from_a_hub(world):
    world.inject(faults.html(), listing(), times=None)

    error = world.load_badly()

    assert isinstance(error, CacheMiss)
    assert error.exit_code == 75
    assert isinstance(error.__cause__, MalformedAnswer)
    assert "page" in str(error) or "HTML" in str(error)


def test_a_login_page_in_place_of_a_head_is_told_from_a_hub(world):
    lists_nothing(world)
    world.inject(faults.html(), metadata(method="HEAD"), times=None)

    error = world.load_badly(purpose=VOCAB_ALONE)

    assert isinstance(error, HubloaderError)
    assert error.exit_code == 75


@pytest.mark.parametrize("times", [1, None])
def test_a_login_page_in_place_of_a_file_is_never_kept(world, victim, times):
    world.inject(faults.html(), body(victim), times)

    error = world.load_somehow()

    assert error is None or isinstance(error, (IntegrityError, HubError, TransportError))
    if times is None:
        assert error is not None


def test_a_login_page_of_the_files_own_length_is_found_by_its_hash(world, victim):
    page = "<html>" + "x" * (len(world.files[victim]) - 6)
    world.inject(faults.html(page), body(victim), times=None)

    error = world.load_badly()

    assert isinstance(error, (IntegrityError, HubError, TransportError))


@pytest.mark.parametrize("times", [1, None])
def test_a_login_page_where_no_size_is_known_is_found_by_its_hash(world, times):
    lists_nothing(world)
    world.inject(unsized(), metadata(method="HEAD"), times=None)
    world.inject(faults.html(), body(VOCAB), times)

    error = world.load_somehow(purpose=VOCAB_ALONE)

    assert error is None or isinstance(error, (IntegrityError, HubError))
    if times is None:
        assert error is not None


@pytest.mark.parametrize("depth", [500, 100_000])
def test_a_listing_that_is_nested_too_deep_is_refused(world, depth):
    world.inject(faults.nested_json(depth), listing(), times=None)

    error = world.load_badly()

    assert isinstance(error, CacheMiss)
    assert isinstance(error.__cause__, MalformedAnswer)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw | {"sha": "../../../etc"},
        lambda raw: raw | {"sha": None},
        lambda raw: raw | {"siblings": [{"rfilename": "../../../etc/passwd", "size": 1}]},
        lambda raw: raw | {"siblings": [{"rfilename": "/etc/passwd", "size": 1}]},
        lambda raw: raw | {"siblings": "many"},
        lambda raw: raw["siblings"],
        lambda raw: raw | {"siblings": [s | {"size": -5} for s in raw["siblings"]]},
        lambda raw: raw | {"siblings": [s | {"size": "9"} for s in raw["siblings"]]},
        lambda raw: raw | {"siblings": [s | {"blobId": "../../x"} for s in raw["siblings"]]},
        lambda raw: raw | {"siblings": [s | {"lfs": {"sha256": "../x"}} for s in raw["siblings"]]},
    ],
)
def test_a_listing_that_cannot_be_true_is_refused(world, change):
    world.inject(faults.change_json(change), listing(), times=None)

    error = world.load_badly()

    assert isinstance(error, HubloaderError)
    outside = world.cache.parent / "pwned"
    assert not outside.exists()


# Row 38 and 39: the cache is warm


WARM_FAULTS: dict[str, Fault] = {
    "closed": faults.close_before_status(),
    "reset": faults.close_before_status(reset=True),
    "429 for an hour": faults.status(429, Retry_After="3600"),
    "500": faults.status(500),
    "503": faults.status(503),
    "401": faults.status(401),
    "403": faults.status(403),
    "404": faults.status(404),
    "gone": faults.status(404, X_Error_Code="RepoNotFound"),
    "gated": faults.status(403, X_Error_Code="GatedRepo"),
    "a login page": faults.html(),
    "a loop": faults.redirect_loop(),
    "silence": mute(),
}


def to_the_endpoint(asked: Asked) -> bool:
    return not storage(asked)


@pytest.mark.parametrize("which", WARM_FAULTS)
def test_a_warm_cache_is_used_with_one_warning_whatever_the_hub_says(world, which):
    warm(world)
    # long enough for the request to have come when the silence is over
    world.settings["HUBLOADER_REFRESH_TIMEOUT"] = "2" if which == "silence" else "60"
    world.inject(WARM_FAULTS[which], to_the_endpoint, times=None)

    told = load_with_warnings(world)

    assert len(told) == 1
    assert "may be outdated" in told[0]
    assert 1 <= len(world.hub.server.requests) + (which in {"closed", "reset"}) <= 3


@pytest.mark.parametrize("which", ["401", "gone", "gated"])
def test_a_denial_is_raised_when_the_answer_must_be_fresh(world, which):
    warm(world)
    world.inject(WARM_FAULTS[which], to_the_endpoint, times=None)

    error = world.load_badly(HUBLOADER_REFRESH="always")

    assert error.exit_code in {3, 4}


def test_a_warm_cache_by_commit_asks_nobody(world):
    warm(world)
    commit = next(world.cache.glob("*/snapshots/*")).name
    fault = world.inject(faults.status(500), faults.anything, times=None)

    world.load_well(revision=commit)

    assert fault.hits == 0


# Row 40: a false "not found"


def not_found(which: str) -> Fault:
    if which == "bare":
        return faults.status(404, "Not Found")
    return faults.status(404, X_Error_Code="EntryNotFound", X_Repo_Commit="0" * 40)


@pytest.mark.parametrize("which", ["bare", "EntryNotFound"])
def test_a_false_not_found_of_a_listed_file_is_not_remembered(world, victim, which):
    fault = world.inject(not_found(which), metadata(victim, "GET"))

    error = world.load_somehow()

    assert fault.hits == 1
    assert error is None or isinstance(error, EntryNotFound)
    assert not list(world.cache.glob("*/.no_exist/*/" + victim))
    world.load_well()


@pytest.mark.parametrize("which", ["bare", "EntryNotFound"])
def test_a_false_not_found_of_a_single_file_is_not_remembered(world, which):
    lists_nothing(world)
    world.inject(not_found(which), metadata(VOCAB, "HEAD"))

    world.load_somehow(purpose=VOCAB_ALONE)

    world.load_well(purpose=VOCAB_ALONE)
    assert not list(world.cache.glob("*/.no_exist/*/" + VOCAB))


def test_a_false_not_found_of_the_repository_is_not_remembered(world):
    gone: Injected = world.inject(faults.status(404, X_Error_Code="RepoNotFound"), listing())

    error = world.load_badly()

    assert isinstance(error, RepositoryNotFound)
    assert gone.hits == 1
    world.load_well()


def test_files_that_are_forbidden_do_not_keep_the_others_from_coming(world):
    fault = world.inject(
        faults.status(403),
        lambda asked: metadata(method="GET")(asked) and not asked.path.endswith(WEIGHTS),
        times=None,
    )

    error = world.load_badly(HUBLOADER_MAX_WORKERS="1")

    refused = set(world.files) - {WEIGHTS}
    assert isinstance(error, Forbidden)
    assert fault.hits == len(refused)
    assert {failure.filename for failure in error.failures} == refused
    assert all(name in str(error) for name in refused)
    assert [path.name for path in world.cache.glob("*/snapshots/*/*")] == [WEIGHTS]


def test_a_repository_of_which_every_file_is_forbidden_is_asked_a_bounded_number_of_times(world):
    for number in range(60):
        (world.hub.root / NAME / f"{number}.txt").write_text(str(number))
    fault = world.inject(faults.status(403), metadata(method="GET"), times=None)

    everything = Purpose(uses=frozenset({"all"}))
    error = world.load_badly(purpose=everything, HUBLOADER_MAX_WORKERS="4")

    assert isinstance(error, Forbidden)
    assert 16 <= fault.hits < 16 + 4


def test_a_refusal_of_the_endpoint_is_no_matter_of_trying_again(world):
    fault = world.inject(faults.status(403), metadata(VOCAB, "GET"), times=None)

    error = world.load_badly()

    assert isinstance(error, Forbidden)
    assert error.exit_code == 4
    assert fault.hits == 1
