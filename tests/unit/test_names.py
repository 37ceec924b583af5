"""Which strings may become names on disk and in URLs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.errors import InvalidReference
from hubloader.names import (
    check_filename,
    check_repo_id,
    check_revision,
    is_commit,
    is_etag,
    is_short_commit,
)

if TYPE_CHECKING:
    from collections.abc import Callable

EVIL_FILENAMES = [
    "", "/", "/etc/passwd", "../x", "a/../b", "a/..", "..", ".", "a/./b", "a//b", "a/",
    "C:/x", "C:\\x", "c:x", "\\\\host\\share", "a\\..\\b", "x\x00y", "x\ny", "x\x7fy", "\ud800",
    "CON", "con", "aux.txt", "nul", "a/COM1", "lpt9.json", "a.", "a ", "a./b", "x:stream",
    "a" * 256, "é" * 128, "/".join(["d" * 200] * 11), "~/../x/..", "..\\..\\x", "./x",
]  # fmt: skip


@pytest.mark.parametrize("text", EVIL_FILENAMES)
def test_a_name_that_could_leave_its_folder_is_refused(text: str):
    with pytest.raises(InvalidReference) as caught:
        check_filename(text)

    assert caught.value.filename == text


@pytest.mark.parametrize(
    "text", ["config.json", "a/b/c.bin", ".gitattributes", "1_Pooling/config.json", "ünïcode.txt",
             "a..b", "console.txt", "x y.txt", "~x", "....json"],
)  # fmt: skip
def test_an_ordinary_name_passes_unchanged(text: str):
    assert check_filename(text) == text


@given(st.text(max_size=40))
def test_what_passes_stays_inside_the_folder_whatever_it_is(text: str):
    try:
        check_filename(text)
    except InvalidReference:
        return

    depth = 0
    for part in text.replace("\\", "/").split("/"):
        depth += -1 if part == ".." else 1
        assert part not in {"", ".", ".."}
        assert depth > 0


@pytest.mark.parametrize("text", ["gpt2", "org/name", "a.b-c_d/E.f", "x" * 96, "_a/b_"])
def test_repository_ids(text: str):
    namespace, name = check_repo_id(text)

    assert "/".join(filter(None, [namespace, name])) == text


@pytest.mark.parametrize(
    "text", ["", "a/b/c", "a--b", "a..b", "x.git", "-a", "a-", ".a", "a b", "a/", "/a", "é",
             "x" * 97, "a\n", "a@b", "a/../b"],
)  # fmt: skip
def test_what_is_no_repository_id(text: str):
    with pytest.raises(InvalidReference):
        check_repo_id(text)


@pytest.mark.parametrize(
    "text", ["main", "refs/pr/1", "v1.0", "feature/x", "a" * 40, "release-2.x"]
)
def test_revisions(text: str):
    assert check_revision(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "..", "../x", "a..b", "a b", "a\n", "/a", "a/", "-x", "a//b", ".a", "a/.b", "a."),
        *("a.lock", "a/b.lock/c", "x~1", "x^", "x:y", "x?", "x*", "x[", "a\\b", "a@{1}", "x" * 513),
    ],
)
def test_what_is_no_revision(text: str):
    with pytest.raises(InvalidReference):
        check_revision(text)


@pytest.mark.parametrize("check", [check_repo_id, check_revision, check_filename])
@pytest.mark.parametrize("unlike", [None, 5, b"main", ["main"], PurePosixPath("main")])
def test_what_is_no_text_is_refused(check: Callable[[Any], object], unlike: object):
    with pytest.raises(InvalidReference, match=f"is a {type(unlike).__name__}"):
        check(unlike)


def test_commits_and_etags_are_lower_case_hex_of_the_right_length():
    assert is_commit("0" * 40)
    assert not is_commit("0" * 39)
    assert not is_commit("A" * 40)
    assert not is_commit("0" * 40 + "\n")
    assert is_etag("a" * 40)
    assert is_etag("a" * 64)
    assert not is_etag("a" * 41)
    assert not is_etag("../../x")
    assert is_short_commit("abcdef1")
    assert not is_short_commit("abcdef")
