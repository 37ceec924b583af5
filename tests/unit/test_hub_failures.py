from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.errors import (
    AuthenticationRequired,
    ConnectFailed,
    EntryNotFound,
    Forbidden,
    GatedRepository,
    HubloaderError,
    ListingUnavailable,
    MalformedAnswer,
    RateLimited,
    RepositoryNotFound,
    RevisionNotFound,
    ServerFailed,
)
from hubloader.hub.failures import Asked, failure, failure_of
from hubloader.hub.urls import HubUrls
from hubloader.transport.base import Headers, Request
from hubloader.transport.memory import Answer, MemoryTransport

HUB = HubUrls("https://hub.example")
HERE = "https://hub.example/org/name/resolve/main/x"
KINDS = ["info", "tree", "paths-info", "refs", "resolve", "whoami"]
CODES = ["", "RevisionNotFound", "EntryNotFound", "GatedRepo", "RepoNotFound", "SomethingNew"]


def made(status, headers=None, body=b"", *, url=HERE, kind="resolve", signed=False):
    asked = Asked(HUB, kind, "https://hub.example/org/name", signed)
    return failure(status, Headers(headers or {}), body, url=url, asked=asked)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("url", [HERE, "https://cdn.example/blob"])
def test_every_answer_has_its_error(kind, code, url):
    for status in range(200, 600):
        error = made(status, {"X-Error-Code": code}, url=url, kind=kind)
        assert isinstance(error, HubloaderError)
        assert type(error).__module__ == "hubloader.errors"
        assert error.url == url


@given(st.binary(), st.text(), st.integers(400, 599), st.sampled_from(KINDS))
def test_no_words_of_a_server_break_a_message(body, message, status, kind):
    error = made(status, {"X-Error-Message": message}, body, kind=kind)
    assert error.message.isprintable() or not message.isprintable()
    assert not any(ord(c) < 32 or ord(c) == 127 for c in error.message)
    assert len(error.message) < 500


@pytest.mark.parametrize(
    ("status", "headers", "kind", "expected"),
    [
        (404, {"X-Error-Code": "RevisionNotFound"}, "resolve", RevisionNotFound),
        (404, {"X-Error-Code": "EntryNotFound"}, "resolve", EntryNotFound),
        (403, {"X-Error-Code": "GatedRepo"}, "resolve", GatedRepository),
        (401, {"X-Error-Code": "GatedRepo"}, "info", GatedRepository),
        (401, {"X-Error-Code": "RepoNotFound"}, "info", RepositoryNotFound),
        (404, {"X-Error-Code": "RepoNotFound"}, "info", RepositoryNotFound),
        (403, {"X-Error-Message": "Access to this resource is disabled."}, "info", Forbidden),
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, "info",
         AuthenticationRequired),
        (401, {}, "whoami", AuthenticationRequired),
        (401, {}, "resolve", AuthenticationRequired),
        (403, {}, "resolve", Forbidden),
        (451, {}, "resolve", Forbidden),
        (404, {}, "resolve", EntryNotFound),
        (404, {}, "refs", RepositoryNotFound),
        (404, {}, "info", ListingUnavailable),
        (405, {}, "tree", ListingUnavailable),
        (501, {}, "info", ListingUnavailable),
        (407, {}, "info", ConnectFailed),
        (400, {}, "info", ServerFailed),
        (408, {}, "info", ServerFailed),
        (416, {}, "resolve", ServerFailed),
        (503, {}, "resolve", ServerFailed),
        (429, {}, "info", RateLimited),
        (304, {}, "resolve", MalformedAnswer),
        (202, {}, "info", MalformedAnswer),
    ],
)  # fmt: skip
def test_answers_mean_what_the_hub_means(status, headers, kind, expected):
    assert type(made(status, headers, kind=kind)) is expected


def test_a_limit_says_how_long():
    error = made(429, {"Retry-After": "3601"})
    assert error.retry_after == 3601.0
    assert "3601 s" in str(error)
    assert made(503, {"Retry-After": "9"}).retry_after == 9.0
    assert made(503).status == 503


def test_a_refusal_of_the_storage_is_not_a_matter_of_the_token():
    error = made(403, url="https://cdn.example/blob?signature=s3cret", signed=True)
    assert type(error) is ServerFailed
    assert error.status == 403
    assert "token" not in str(error)
    assert "s3cret" not in str(error) + error.url


def test_a_gate_says_where_to_ask_and_whether_to_log_in():
    anonymous, signed = (
        made(401, {"X-Error-Code": "GatedRepo"}),
        made(403, {"X-Error-Code": "GatedRepo"}, signed=True),
    )
    assert "https://hub.example/org/name" in anonymous.hint
    assert "https://hub.example/org/name" in signed.hint
    assert "log in" in anonymous.hint
    assert "log in" not in signed.hint


def test_a_missing_repository_could_be_a_private_one():
    assert "HF_TOKEN" in made(404, {"X-Error-Code": "RepoNotFound"}).hint
    assert "token reaches" in made(404, {"X-Error-Code": "RepoNotFound"}, signed=True).hint


def test_the_token_is_told_apart_from_no_token():
    assert "does not accept" in made(401, signed=True).message
    assert "wants a token" in made(401).message


def test_the_servers_words_come_from_header_or_json_cut_and_clean():
    assert "from a header" in made(403, {"X-Error-Message": "from a header"}).message
    assert "from json" in made(403, body=json.dumps({"error": "from json"}).encode()).message
    assert "\x1b" not in made(403, {"X-Error-Message": "\x1b[31mred\x1b[0m"}).message
    assert len(made(403, {"X-Error-Message": "x" * 10_000}).message) < 400
    assert made(403, body=b"[" * 100_000).message


def test_the_request_id_is_kept_for_a_report():
    assert made(500, {"X-Request-Id": "Root=1-2"}).request_id == "Root=1-2"


def test_an_answer_is_closed_when_it_became_an_error():
    answer = Answer(500, body=b'{"error": "out of order"}')
    response = MemoryTransport({HERE: answer}).send(Request("GET", HERE))
    assert "out of order" in failure_of(response, Asked(HUB, "resolve")).message
    assert response.closed


def test_an_answer_whose_body_breaks_is_still_its_error():
    response = MemoryTransport({HERE: Answer(500, body=b"xx", cut_at=1)}).send(Request("GET", HERE))
    assert type(failure_of(response, Asked(HUB, "resolve"))) is ServerFailed
