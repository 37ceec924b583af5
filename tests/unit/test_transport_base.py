from __future__ import annotations

import gzip
import tracemalloc

import pytest

from hubloader.errors import MalformedAnswer
from hubloader.transport.base import Headers, Request, Timeouts, shown
from hubloader.transport.memory import Answer, MemoryTransport

URL = "https://hub/x"


def test_headers_are_found_without_regard_to_case_and_kept_as_written():
    headers = Headers({"X-Own": "1", "ETag": '"a"'})
    assert headers["x-own"] == headers["X-OWN"] == "1"
    assert "etag" in headers
    assert "missing" not in headers
    assert 7 not in headers
    assert headers.get("missing") is None
    assert list(headers) == ["X-Own", "ETag"]
    assert len(headers) == 2


def test_merged_headers_are_the_others_where_both_speak():
    merged = Headers({"Accept": "a", "Range": "r"}).merged({"accept": "b", "New": "n"})
    assert dict(merged) == {"Range": "r", "accept": "b", "New": "n"}


def test_a_call_within_a_time_has_that_time_for_everything():
    assert Timeouts.within(2.0) == Timeouts(connect=2.0, idle=2.0, total=2.0)


def test_an_address_that_cannot_be_read_is_not_shown():
    assert shown("https://[x/secret") == "an address that cannot be read"


def test_a_bomb_is_not_inflated_beyond_its_limit():
    bomb = Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(bytes(50_000_000)))
    response = MemoryTransport({URL: bomb}).send(Request("GET", URL))

    tracemalloc.start()
    with pytest.raises(MalformedAnswer, match="longer than 1000 bytes"):
        response.read(1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1_000_000


def test_a_body_that_is_not_compressed_as_it_says_is_refused():
    liar = Answer(headers={"Content-Encoding": "gzip"}, body=b"plain text")
    with pytest.raises(MalformedAnswer, match="not compressed"):
        MemoryTransport({URL: liar}).send(Request("GET", URL)).read(100)
