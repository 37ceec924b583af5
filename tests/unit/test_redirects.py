from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubloader.errors import ConnectFailed, RedirectRefused
from hubloader.transport.auth import Credential, Origin
from hubloader.transport.base import Headers, Request
from hubloader.transport.memory import Answer, MemoryTransport
from hubloader.transport.redirects import Redirecting, RedirectPolicy, redirect_target

HUB = "https://hub.example"
CREDENTIAL = Credential.bound(HUB, "hf_secret")


def to(location, status=302):
    return Answer(status, {"Location": location})


def follow(script, url=f"{HUB}/start", method="GET", headers=None, **options):
    memory = MemoryTransport(script)
    transport = Redirecting(memory, RedirectPolicy(CREDENTIAL, **options))
    request = Request(method, url, headers or {})
    return memory, transport, request


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_redirect_is_followed(status):
    memory, transport, request = follow(
        {f"{HUB}/start": to("/end", status), f"{HUB}/end": Answer()}
    )
    assert transport.send(request).url == f"{HUB}/end"
    assert [each.method for each in memory.requests] == ["GET", "GET"]


def test_an_answer_that_is_no_redirect_or_names_no_place_is_handed_out():
    for answer in (Answer(300, {"Location": "/x"}), Answer(304), Answer(302)):
        _, transport, request = follow({f"{HUB}/start": answer})
        assert transport.send(request).status == answer.status


def test_a_redirects_own_answer_is_closed():
    closed = []

    class Watching(MemoryTransport):
        def send(self, request):
            response = super().send(request)
            closed.append(response)
            return response

    watching = Watching({f"{HUB}/start": to("/end"), f"{HUB}/end": Answer()})
    Redirecting(watching, RedirectPolicy()).send(Request("GET", f"{HUB}/start"))
    assert [each.closed for each in closed] == [True, False]


def test_a_caller_may_stop_at_a_redirect():
    _, transport, _ = follow({f"{HUB}/start": to("https://cdn/x")})
    request = Request("HEAD", f"{HUB}/start", stop=lambda response: "Location" in response.headers)
    assert transport.send(request).status == 302


def test_five_hops_are_followed_and_a_sixth_is_not():
    script = {f"{HUB}/{n}": to(f"/{n + 1}") for n in range(6)} | {f"{HUB}/6": Answer()}
    _, transport, _ = follow(script)
    assert transport.send(Request("GET", f"{HUB}/1")).url == f"{HUB}/6"
    with pytest.raises(RedirectRefused, match="more than 5") as caught:
        transport.send(Request("GET", f"{HUB}/0"))
    assert f"{HUB}/0 -> {HUB}/1" in str(caught.value)


def test_a_circle_is_refused_with_its_chain():
    _, transport, request = follow({f"{HUB}/start": to("/b"), f"{HUB}/b": to("/start#again")})
    with pytest.raises(RedirectRefused, match="circle") as caught:
        transport.send(request)
    assert f"{HUB}/start -> {HUB}/b -> {HUB}/start" in str(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "http://hub.example/x",
        "http://other/x",
        "file:///etc/passwd",
        "ftp://other/x",
        "javascript:alert(1)",
        "https://",
        "//[x",
        "https://[x/",
        "https://other:0/",
        "https://user:word@other/x",
        "https://user@hub.example/x",
        "https://evil.example\\@hub.example/",
        "https://other/a b",
        "https://169.254.169.254/latest",
        "https://[fe80::1]/x",
        "https://[::ffff:169.254.169.254]/x",
        "https://2852039166/x",
        "https://0xa9fea9fe/x",
        "https://0251.0376.0251.0376/x",
        "https://169.254.43518/x",
        "https://metadata.google.internal/x",
        "https://[fd00:ec2::254]/x",
    ],
)
def test_a_forbidden_target_is_refused_before_anything_is_sent_there(location):
    memory, transport, request = follow({f"{HUB}/start": to(location)})
    with pytest.raises(RedirectRefused):
        transport.send(request)
    assert len(memory.requests) == 1


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "192.168.1.1", "127.0.0.1", "[::1]", "mirror.internal"]
)
def test_private_networks_are_where_mirrors_are(host):
    assert redirect_target([f"{HUB}/a"], f"https://{host}/b", 5) == f"https://{host}/b"


def test_plain_http_may_lead_to_plain_http_and_to_https():
    for target in ("http://cdn/x", "https://cdn/x"):
        assert redirect_target(["http://mirror/a"], target, 5) == target


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b?c=d", f"{HUB}/b?c=d"),
        ("b", f"{HUB}/dir/b"),
        ("?cursor=1", f"{HUB}/dir/a?cursor=1"),
        ("//cdn/x", "https://cdn/x"),
        ("https://cdn/x#part", "https://cdn/x"),
        ("/caf\u00c3\u00a9", f"{HUB}/café"),
        ("/caf\u00e9", f"{HUB}/café"),
    ],
)
def test_locations_are_read_as_servers_write_them(location, target):
    assert redirect_target([f"{HUB}/dir/a"], location, 5) == target


def test_signatures_are_not_shown():
    with pytest.raises(RedirectRefused) as caught:
        redirect_target(["https://cdn/a?signature=s3cret"], "http://cdn/b?signature=s3cret", 5)
    assert "s3cret" not in str(caught.value)


def test_a_user_in_the_endpoint_stays_in_relative_redirects():
    assert redirect_target(["https://me:word@hub/a"], "/b", 5) == "https://me:word@hub/b"


def test_a_post_goes_along_to_the_same_origin_alone():
    script = {
        f"{HUB}/moved": to("/end", 307),
        f"{HUB}/away": to("https://other/end", 307),
        f"{HUB}/turned": to("/end", 302),
        f"{HUB}/end": Answer(),
    }
    memory, transport, _ = follow(script)
    transport.send(Request("POST", f"{HUB}/moved", body=b"paths=a"))
    assert [(each.method, each.body) for each in memory.requests] == [("POST", b"paths=a")] * 2
    for path in ("/away", "/turned"):
        with pytest.raises(RedirectRefused, match="POST"):
            transport.send(Request("POST", HUB + path))


def test_what_left_does_not_come_back_with_a_token():
    script = {
        f"{HUB}/start": to("https://other/x"),
        "https://other/x": to(f"{HUB}/delete-everything"),
        f"{HUB}/delete-everything": Answer(),
    }
    memory, transport, request = follow(script, headers={"X-Own": "mine", "Range": "bytes=0-"})
    transport.send(request)
    sent = [sorted(each.headers) for each in memory.requests]
    assert sent == [["Authorization", "Range", "X-Own"], ["Range"], ["Range"]]


ORIGINS = [
    "https://hub.example",
    "https://cdn.example",
    "http://hub.example",
    "https://hub.example:8443",
]
NODES = [f"{origin}/{number}" for origin in ORIGINS for number in range(3)]
LINKS = st.dictionaries(
    st.sampled_from(NODES),
    st.tuples(st.sampled_from(NODES), st.sampled_from([301, 302, 303, 307, 308])),
)


@settings(max_examples=1000, deadline=None)
@given(LINKS, st.sampled_from(NODES))
def test_no_credential_leaves_its_origin_whatever_the_graph(graph, start):
    script = {node: to(target, status) for node, (target, status) in graph.items()}
    memory, transport, _ = follow(script)
    with contextlib.suppress(RedirectRefused, ConnectFailed):
        transport.send(Request("GET", start, Headers({"X-Canary": "mine"})))

    left = False
    for each in memory.requests:
        left = left or Origin.of(each.url) != Origin.of(start)
        if left or Origin.of(each.url) != CREDENTIAL.origin:
            assert "Authorization" not in each.headers
        assert ("X-Canary" in each.headers) is not left
    assert len(memory.requests) <= 6
