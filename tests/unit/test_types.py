"""What users give as names, and the values that cross layers."""

from __future__ import annotations

import warnings

import pytest

from hubloader.errors import InvalidReference, NotFound
from hubloader.types import CommitHash, Entry, ETag, Manifest, RepoId, parse_model_ref


def nowhere(_: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("name", "repo", "revision"),
    [
        ("gpt2", "gpt2", None),
        ("org/name", "org/name", None),
        ("org/name@v1", "org/name", "v1"),
        ("hf://org/name", "org/name", None),
        ("hf://org/name@refs/pr/3", "org/name", "refs/pr/3"),
    ],
)
def test_hub_names(name: str, repo: str, revision: str | None):
    ref = parse_model_ref(name, is_dir=nowhere)

    assert (ref.source, str(ref.repo), ref.revision) == ("hub", repo, revision)


def test_two_revisions_are_one_too_many():
    with pytest.raises(InvalidReference, match="revision"):
        parse_model_ref("org/name@v1", revision="v2", is_dir=nowhere)


def test_a_folder_wins_over_a_hub_name_with_a_warning():
    with pytest.warns(UserWarning, match="could be a Hub name"):
        ref = parse_model_ref("org/name", is_dir=lambda _: True)

    assert (ref.source, ref.path) == ("dir", "org/name")


def test_a_folder_that_can_be_nothing_else_is_taken_in_silence(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        assert parse_model_ref(tmp_path).path == str(tmp_path)


def test_hf_scheme_never_means_a_folder():
    assert parse_model_ref("hf://org/name", is_dir=lambda _: True).source == "hub"


@pytest.mark.parametrize("name", ["/no/such/folder", "./none", "../none"])
def test_a_path_to_nothing_says_so(name: str):
    with pytest.raises(NotFound, match="no folder"):
        parse_model_ref(name, is_dir=nowhere)


def test_a_subfolder_stays_inside():
    assert parse_model_ref("org/name", subfolder="/a/b/", is_dir=nowhere).subfolder == "a/b"
    with pytest.raises(InvalidReference):
        parse_model_ref("org/name", subfolder="../x", is_dir=nowhere)


def test_commit_and_etag_check_themselves():
    assert CommitHash("a" * 40) == "a" * 40
    for cls in (CommitHash, ETag):
        with pytest.raises(InvalidReference):
            cls("../../x")


def test_an_entry_is_named_by_sha256_when_it_has_one():
    assert Entry(3, git_sha1="a" * 40).etag == "a" * 40
    assert Entry(3, git_sha1="a" * 40, sha256="b" * 64).etag == "b" * 64


def test_a_manifest_lists_names_below_a_folder():
    manifest = Manifest(
        RepoId.parse("org/name"),
        "main",
        CommitHash("a" * 40),
        {"config.json": Entry(1), "sub/x.json": Entry(1), "subway": Entry(1)},
    )

    assert manifest.names() == {"config.json", "sub/x.json", "subway"}
    assert manifest.names("sub") == {"x.json"}
    assert "config.json" in manifest
