from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.errors import MalformedAnswer
from hubloader.hub.listing import (
    next_page,
    parse_info,
    parse_json_object,
    parse_refs,
    parse_tree_page,
)
from hubloader.types import Entry

COMMIT, SHA1, SHA256, XET = "c" * 40, "a" * 40, "b" * 64, "d" * 64


def as_json(raw):
    return json.dumps(raw).encode()


def info(siblings, **more):
    return as_json({"id": "org/name", "sha": COMMIT, "siblings": siblings, **more})


def sibling(name="config.json", **more):
    return {"rfilename": name, "blobId": SHA1, "size": 7, **more}


def file(path="config.json", **more):
    return {"type": "file", "path": path, "oid": SHA1, "size": 7, **more}


def test_info_is_read():
    lfs = {"sha256": SHA256, "size": 1000, "pointerSize": 130}
    found = parse_info(info([sibling(), sibling("a/model.safetensors", size=1000, lfs=lfs)]))

    assert found.commit == COMMIT
    assert found.repo_id == "org/name"
    assert found.described
    assert found.entries == {
        "config.json": Entry(7, SHA1),
        "a/model.safetensors": Entry(1000, SHA1, SHA256),
    }


def test_a_tree_is_read_without_its_folders():
    lfs = {"oid": SHA256, "size": 1000, "pointerSize": 130}
    page = [
        file(),
        {"type": "directory", "path": "a"},
        file("a/m", size=1000, lfs=lfs, xetHash=XET),
    ]
    assert parse_tree_page(as_json(page)) == {
        "config.json": Entry(7, SHA1),
        "a/m": Entry(1000, SHA1, SHA256, XET),
    }


def test_a_size_in_lfs_wins_over_the_pointers():
    page = [file(size=130, lfs={"oid": SHA256, "size": 1000})]
    assert parse_tree_page(as_json(page))["config.json"].size == 1000


@pytest.mark.parametrize(
    "siblings", [[{"rfilename": "x"}], [sibling(), sibling("y", size=None)], [sibling(blobId=None)]]
)
def test_names_without_size_and_hash_are_not_a_description(siblings):
    assert not parse_info(info(siblings)).described


@pytest.mark.parametrize(
    ("told", "gated"),
    [(False, False), (None, False), ("false", False), ("auto", True), ([], True), ({}, True)],
)
def test_gated_is_what_is_told_to_be_whatever_it_is(told, gated):
    assert parse_info(info([], gated=told)).gated is gated


def test_no_list_of_files_is_not_an_empty_one():
    assert not parse_info(as_json({"sha": COMMIT})).described
    assert parse_info(info([])).described


@pytest.mark.parametrize("stars", ["*" * 64, "*", "", None])
def test_redacted_hashes_are_unknown(stars):
    entry = parse_tree_page(as_json([file(xetHash=stars, oid=stars)]))["config.json"]
    assert (entry.xet_hash, entry.git_sha1) == (None, None)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "", "a//b", "a/", "./a", "a\x00b", "a\nb", 7, None, ["a"]],
)
def test_a_name_that_would_leave_the_repository_refuses_the_listing(name):
    with pytest.raises(MalformedAnswer):
        parse_info(info([sibling(name)]))
    with pytest.raises(MalformedAnswer):
        parse_tree_page(as_json([file(name)]))


@pytest.mark.parametrize("name", ["plots/loss: a.png", "aux.py", "a\\b", "trailing.", "x" * 300])
def test_a_name_not_every_disk_can_hold_is_left_out_and_logged(name, caplog):
    found = parse_info(info([sibling(), sibling(name)]))
    assert set(found.entries) == {"config.json"}
    assert "left out" in caplog.text


@pytest.mark.parametrize("size", [-1, 2**63, 1.5, "7", True, [7], {}])
def test_a_size_that_is_no_count_refuses_the_listing(size):
    with pytest.raises(MalformedAnswer, match="size"):
        parse_tree_page(as_json([file(size=size)]))


@pytest.mark.parametrize("oid", ["x" * 40, SHA1.upper(), SHA1[:-1], "../../x", 7, {}])
def test_an_oid_that_is_no_hash_refuses_the_listing(oid):
    with pytest.raises(MalformedAnswer):
        parse_tree_page(as_json([file(oid=oid)]))
    with pytest.raises(MalformedAnswer):
        parse_tree_page(as_json([file(lfs={"oid": oid, "size": 1})]))


@pytest.mark.parametrize("sha", [None, "main", COMMIT.upper(), "../../x", 7])
def test_a_commit_that_is_none_refuses_the_answer(sha):
    with pytest.raises(MalformedAnswer, match="commit"):
        parse_info(as_json({"sha": sha, "siblings": []}))


@pytest.mark.parametrize("name", ["../x", "a/b/c", 7, ["a"], ""])
def test_an_id_that_is_none_refuses_the_answer(name):
    with pytest.raises(MalformedAnswer, match="id"):
        parse_info(as_json({"sha": COMMIT, "id": name, "siblings": []}))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1", "not JSON"),
        (b"<!DOCTYPE html><html>login", "HTML"),
        (b"  <html>", "HTML"),
        (b"[" * 200_000, "too deeply"),
        (b'{"sha":' * 200_000, "too deeply"),
        (b"null", "no JSON object"),
        (b'"text"', "no JSON object"),
    ],
)
def test_what_is_no_listing_says_what_it_is(body, says):
    with pytest.raises(MalformedAnswer, match=says):
        parse_info(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["sha", "id", "siblings", "rfilename", "size", "lfs", "blobId", "path", "type", "oid",
             "branches", "tags", "name", "targetCommit", "gated", "cardData", "license", "xetHash"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_no_json_breaks_the_readers(raw):
    for read in (parse_info, parse_tree_page, parse_refs, parse_json_object):
        with contextlib.suppress(MalformedAnswer):
            read(as_json(raw))


def test_refs_are_read():
    ref = {"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}
    request = {"name": "1", "ref": "refs/pr/1", "targetCommit": SHA1}
    found = parse_refs(
        as_json({"branches": [ref], "tags": [], "converts": [], "pullRequests": [request]})
    )
    assert (found.branches, found.tags) == ({"main": COMMIT}, {})
    assert found.pull_requests == {"refs/pr/1": SHA1}


@pytest.mark.parametrize("ref", [{"name": "main"}, {"name": 7, "targetCommit": COMMIT}, "main"])
def test_refs_that_are_none_are_refused(ref):
    with pytest.raises(MalformedAnswer):
        parse_refs(as_json({"branches": [ref]}))


HERE = "https://mirror/hf/api/models/org/name/tree/main?recursive=true"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("", None),
        ('<x>; rel="prev"', None),
        ('<https://mirror/hf/next?cursor=1>; rel="next"', "https://mirror/hf/next?cursor=1"),
        ('<?cursor=1>; rel="next"', "https://mirror/hf/api/models/org/name/tree/main?cursor=1"),
        (
            '<https://huggingface.co/api/models/org/name/tree/main?recursive=true&cursor=1>;rel="next"',
            "https://mirror/hf/api/models/org/name/tree/main?recursive=true&cursor=1",
        ),
        (
            '<https://mirror/api/models/org/name/tree/main?cursor=1>; rel="next"',
            "https://mirror/hf/api/models/org/name/tree/main?cursor=1",
        ),
        (
            '</api/models/org/name/tree/main?cursor=1>; rel="next"',
            "https://mirror/hf/api/models/org/name/tree/main?cursor=1",
        ),
        (
            '<http://169.254.169.254/latest?cursor=1>; rel="next"',
            "https://mirror/hf/api/models/org/name/tree/main?cursor=1",
        ),
        (
            '<http://mirror/hf/api?cursor=1>; rel="next"',
            "https://mirror/hf/api/models/org/name/tree/main?cursor=1",
        ),
    ],
)
def test_the_next_page_is_always_at_the_same_origin(link, expected):
    assert next_page(HERE, link) == expected


@pytest.mark.parametrize("target", ["file:///etc/passwd", "https://a\\@mirror/", "//[x"])
def test_a_next_page_that_is_no_address_is_refused(target):
    with pytest.raises(MalformedAnswer):
        next_page(HERE, f'<{target}>; rel="next"')


def test_a_link_that_names_a_user_is_asked_for_without_that_user():
    here = "https://hub.example/api/models/org/name/tree/main?recursive=true"
    link = '<https://me:word@hub.example/api/elsewhere?cursor=9>; rel="next"'
    assert next_page(here, link) == "https://hub.example/api/models/org/name/tree/main?cursor=9"
