from __future__ import annotations

import pytest

from hubloader.errors import InvalidReference
from hubloader.transport.auth import Credential, Origin, authorised, crossing
from hubloader.transport.base import Headers, Request, shown

HUB = Credential.bound("https://hub.example/prefix", "hf_secret")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Hub.Example/x", Origin("https", "hub.example", 443)),
        ("HTTP://hub:8080", Origin("http", "hub", 8080)),
        ("http://user:word@hub/", Origin("http", "hub", 80)),
        ("https://[::1]:8443/", Origin("https", "[::1]", 8443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, origin):
    assert Origin.of(url) == origin


def test_an_origin_is_shown_without_the_usual_port():
    assert str(Origin.of("https://hub:443/x")) == "https://hub"
    assert str(Origin.of("https://hub:80/x")) == "https://hub:80"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hub.example/x",
        "ftp://hub/x",
        "file:///etc/passwd",
        "https://",
        "https://evil.example\\@hub.example/",
        "https://evil.example @hub.example/",
        "https://a@b@hub.example/",
        "https://hub.example:99999/",
        "https://hub.example:0/",
        "https://hub.example:80x/",
        "https://[::1/",
        "https://hüb.example/",
    ],
)
def test_an_address_that_clients_could_read_differently_has_no_origin(url):
    with pytest.raises(InvalidReference):
        Origin.of(url)


@pytest.mark.parametrize("url", ["https://hub.example/x", "https://HUB.example:443/y"])
def test_the_token_goes_to_its_origin(url):
    assert authorised({}, url, HUB)["Authorization"] == "Bearer hf_secret"


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.example/x",
        "https://hub.example:8443/x",
        "https://hub.example.evil/x",
        "https://cdn.hub.example/x",
        "https://hub.example@evil.example/x",
    ],
)
def test_the_token_goes_to_no_other(url):
    assert "Authorization" not in authorised({}, url, HUB)


def test_what_the_caller_wrote_stays():
    given = Headers({"authorization": "Basic mine"})
    assert dict(authorised(given, "https://hub.example/", HUB)) == {"authorization": "Basic mine"}


def test_without_a_token_there_is_no_credential():
    assert Credential.bound("https://hub.example", None) is None
    assert Credential.bound("https://hub.example", "") is None


@pytest.mark.parametrize("token", ["hf_a b", "hf_\nX-Evil: 1", "hf_é", " "])
def test_a_token_that_is_none_is_refused_and_not_repeated(token):
    with pytest.raises(InvalidReference) as caught:
        Credential.bound("https://hub.example", token)
    assert token.strip() == "" or token not in str(caught.value)


def test_the_token_is_in_nobodys_repr():
    request = Request("GET", "https://hub.example/", {"Authorization": "Bearer hf_secret"})
    for thing in (HUB, request, Headers(request.headers)):
        assert "secret" not in repr(thing)


def test_only_what_is_wanted_crosses_to_another_origin():
    headers = Headers(
        {"Range": "bytes=1-", "If-Range": '"x"', "User-Agent": "me", "Accept-Encoding": "identity",
         "Authorization": "Bearer x", "X-Own": "1", "Cookie": "a=b", "Referer": "https://hub"}
    )  # fmt: skip
    assert set(crossing(headers)) == {"Range", "If-Range", "User-Agent", "Accept-Encoding"}


def test_messages_show_an_address_without_its_secrets():
    assert shown("https://me:word@cdn/x?signature=s#f") == "https://cdn/x"
