from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.errors import MalformedAnswer
from hubloader.hub.headers import (
    ContentRange,
    FileMetadata,
    format_content_range,
    format_etag,
    format_file_metadata,
    format_link_next,
    format_range,
    parse_content_range,
    parse_etag,
    parse_file_metadata,
    parse_link_next,
    parse_range,
)
from hubloader.transport.base import Headers
from hubloader.types import CommitHash, ETag

SHA1, SHA256 = "a" * 40, "b" * 64


def hexes(length):
    return st.text("0123456789abcdef", min_size=length, max_size=length)


ETAGS = (hexes(40) | hexes(64)).map(ETag)
SIZES = st.integers(0, 2**62)


@given(
    st.builds(
        FileMetadata,
        commit=hexes(40).map(CommitHash) | st.none(),
        etag=ETAGS | st.none(),
        size=SIZES | st.none(),
        location=st.sampled_from([None, "/elsewhere", "https://cdn/x?y=1"]),
        xet_hash=hexes(64) | st.none(),
    )
)
def test_metadata_is_read_as_it_was_written(meta):
    status = 200 if meta.location is None else 302
    assert parse_file_metadata(status, Headers(format_file_metadata(meta))) == meta


def test_what_is_linked_wins_over_what_answers():
    headers = Headers(
        {"ETag": f'"{SHA1}"', "X-Linked-Etag": f'"{SHA256}"', "x-linked-size": "7",
         "Content-Length": "3"}
    )  # fmt: skip
    meta = parse_file_metadata(200, headers)
    assert (meta.etag, meta.size) == (SHA256, 7)


def test_a_redirects_own_length_and_etag_say_nothing_of_the_file():
    headers = Headers({"ETag": f'"{SHA1}"', "Content-Length": "3", "Location": "/x"})
    assert parse_file_metadata(307, headers) == FileMetadata(None, None, None, "/x")


def test_an_encoded_answers_length_says_nothing_of_the_file():
    headers = Headers({"Content-Length": "3", "Content-Encoding": "gzip"})
    assert parse_file_metadata(200, headers).size is None


@pytest.mark.parametrize(
    "text",
    ["../../../../pwned", "/etc/hostname", "a b;rm", "x" * 300, SHA1.upper(), SHA1[:-1], "",
     f"{SHA1}/../x", "md5-1"],
)  # fmt: skip
def test_an_etag_that_is_no_hash_names_nothing(text):
    assert parse_etag(f'"{text}"') is None
    assert parse_file_metadata(200, Headers({"ETag": f'"{text}"'})).etag is None


@pytest.mark.parametrize("text", [f'"{SHA1}"', SHA1, f'W/"{SHA1}"', f' "{SHA1}" '])
def test_an_etag_is_read_without_its_dress(text):
    assert parse_etag(text) == SHA1


@given(ETAGS)
def test_an_etag_is_read_as_it_was_written(etag):
    assert parse_etag(format_etag(etag)) == etag


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Repo-Commit": "../../x"},
        {"X-Repo-Commit": SHA1.upper()},
        {"X-Repo-Commit": "main"},
        {"X-Linked-Size": "-1"},
        {"X-Linked-Size": "1e3"},
        {"X-Linked-Size": "9" * 30},
        {"Content-Length": "a lot"},
    ],
)
def test_a_commit_or_size_that_cannot_be_one_is_refused(headers):
    with pytest.raises(MalformedAnswer):
        parse_file_metadata(200, Headers(headers))


@pytest.mark.parametrize("stars", ["*" * 64, "", "x" * 64, "a" * 63])
def test_a_redacted_xet_hash_is_unknown(stars):
    assert parse_file_metadata(200, Headers({"X-Xet-Hash": stars})).xet_hash is None


@st.composite
def parts(draw):
    start = draw(SIZES)
    end = start + draw(st.integers(1, 2**30))
    return ContentRange(start, end, draw(st.none() | st.integers(end, end + 2**30)))


@given(parts() | st.builds(ContentRange, st.none(), st.none(), SIZES))
def test_a_content_range_is_read_as_it_was_written(part):
    assert parse_content_range(format_content_range(part)) == part


def test_a_content_range_of_unknown_whole_is_read():
    assert parse_content_range("bytes 5-9/*") == ContentRange(5, 10, None)


@pytest.mark.parametrize(
    "text",
    ["", "bytes", "bytes 9-5/10", "bytes 0-10/10", "items 0-1/2", "bytes -1-5/10", "bytes 0-1",
     "bytes 0-1/2, bytes 3-4/5", "bytes " + "9" * 40 + "-1/2"],
)  # fmt: skip
def test_a_content_range_that_cannot_be_true_is_refused(text):
    with pytest.raises(MalformedAnswer):
        parse_content_range(text)


@given(parts(), st.integers(1, 2**30))
def test_a_range_is_read_as_it_was_written(part, more):
    size = part.end + more
    assert parse_range(format_range(part.start, part.end), size) == (part.start, part.end)
    assert parse_range(format_range(part.start), size) == (part.start, size)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-", (0, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=4-99", (4, 10)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
    ],
)
def test_ranges_are_cut_to_the_file_or_ignored(text, expected):
    assert parse_range(text, 10) == expected


@pytest.mark.parametrize("text", ["bytes=10-", "bytes=10-11", "bytes=-0"])
def test_a_range_without_a_byte_of_the_file_is_told(text):
    with pytest.raises(ValueError, match="no byte"):
        parse_range(text, 10)


@given(st.from_regex(r"https://[a-z]{1,9}/[a-z?=&%;,0-9]{0,20}", fullmatch=True))
def test_a_link_is_read_as_it_was_written(url):
    assert parse_link_next(format_link_next(url)) == url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ('<a>; rel="prev"', None),
        ('<a>; rel="prev", <b>; rel="next"', "b"),
        ("<a>; rel=next", "a"),
        ('<a>; title="x"; rel="start next"', "a"),
        ('<a>; rel="nextish"', None),
        ('<token>; rel="xet-auth", <a>; REL="next"', "a"),
    ],
)
def test_links_are_read_as_servers_write_them(text, expected):
    assert parse_link_next(text) == expected
