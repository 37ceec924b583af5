"""Listings are huggingface_hub's, and one that was tampered with is not believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cache_cases import COMMIT, REPO, manifest
from hypothesis import given
from hypothesis import strategies as st

from hubloader.cache import CacheStore
from hubloader.cache.layout import CacheLayout
from hubloader.cache.trees import format_seal, format_tree, is_kept, parse_tree, read_tree, seal
from hubloader.types import Entry

FILES = {"config.json": b"{}", "model.safetensors": b"weights"}
hexes = st.text("0123456789abcdef", min_size=40, max_size=40)
sha256s = st.text("0123456789abcdef", min_size=64, max_size=64)
entries = st.builds(Entry, st.integers(0, 2**50), hexes, st.none() | sha256s, st.none() | sha256s)


@given(st.dictionaries(st.sampled_from(["a", "b/c.txt", "d.safetensors"]), entries))
def test_what_is_written_is_read_back(listing):
    written = format_tree(listing)

    assert written is not None
    assert parse_tree(written) == listing


@given(st.dictionaries(st.sampled_from(["a", "ü/c.txt", 'q"\\d']), entries))
def test_the_text_is_that_of_json_with_one_space_of_indent(listing):
    written = format_tree(listing)

    assert written == json.dumps(json.loads(written), indent=1).encode("ascii")
    assert list(json.loads(written)["files"]) == sorted(listing)


@given(st.binary(max_size=100))
def test_garbage_is_no_listing(data):
    assert parse_tree(data) is None or parse_tree(data) == {}


@pytest.mark.parametrize(
    "facts",
    [
        {"size": -1, "blob_id": "ab" * 20},
        {"size": True, "blob_id": "ab" * 20},
        {"size": 1, "blob_id": "../../x"},
        {"size": 1, "blob_id": "ab" * 20, "lfs_sha256": "/etc/passwd"},
        {"blob_id": "ab" * 20},
        [],
        None,
    ],
)
def test_a_listing_with_an_impossible_file_is_none(facts):
    assert parse_tree(json.dumps({"format_version": 1, "files": {"x": facts}}).encode()) is None


def test_a_listing_nested_too_deep_is_none():
    assert parse_tree(b"[" * 100_000) is None


def test_names_that_leave_the_folder_are_left_out():
    facts = {"size": 1, "blob_id": "ab" * 20}
    files = {"../x": facts, "/etc/passwd": facts, "a/../../b": facts, "good": facts}

    assert set(parse_tree(json.dumps({"format_version": 1, "files": files}).encode())) == {"good"}


def test_redacted_xet_hashes_count_as_unknown():
    facts = {"size": 1, "blob_id": "ab" * 20, "lfs_sha256": "cd" * 32, "xet_hash": "*" * 64}
    listing = parse_tree(json.dumps({"format_version": 1, "files": {"x": facts}}).encode())

    assert listing["x"].xet_hash is None


@pytest.mark.parametrize("lacking", [Entry(None, "ab" * 20), Entry(5)])
def test_a_listing_without_sizes_or_hashes_is_not_written(lacking):
    assert format_tree({"x": lacking}) is None


def test_an_emptied_listing_is_not_believed(tmp_path):
    store, layout = CacheStore(tmp_path), CacheLayout(tmp_path).repo(REPO)
    store.write_manifest(manifest(FILES, lfs=["model.safetensors"]))
    assert len(read_tree(layout, COMMIT)) == 2

    with open(layout.tree(COMMIT), "w") as file:
        json.dump({"format_version": 1, "files": {}}, file)

    assert read_tree(layout, COMMIT) is None


def test_a_listing_that_says_the_same_in_other_words_is_believed(tmp_path):
    store, layout = CacheStore(tmp_path), CacheLayout(tmp_path).repo(REPO)
    store.write_manifest(manifest(FILES))
    with open(layout.tree(COMMIT)) as file:
        document = json.load(file)
    with open(layout.tree(COMMIT), "w") as file:
        json.dump(document, file, indent=None)

    assert seal(read_tree(layout, COMMIT)) == seal(manifest(FILES).entries)


def test_a_listing_of_unknown_version_is_none():
    assert parse_tree(b'{"format_version": 2, "files": {}}') is None


@pytest.mark.parametrize(
    ("written", "sealed", "kept"),
    [
        ("the same", "well", True),
        ("the same", "not", True),  # huggingface_hub's own
        ("the same", "with other entries", False),
        ("otherwise", "not", True),
        ("other files", "not", False),
        ("nothing", "not", False),
    ],
)
def test_a_listing_that_is_kept_already_is_recognised(tmp_path, written, sealed, kept):
    layout = CacheLayout(tmp_path).repo(REPO)
    entries = manifest(FILES).entries
    data = format_tree(entries)
    others = {name: Entry(entry.size, "ab" * 20) for name, entry in entries.items()}
    texts = {
        "the same": data,
        "otherwise": json.dumps(json.loads(data)).encode(),
        "other files": format_tree(others),
    }
    tree = Path(layout.tree(COMMIT))
    if written in texts:
        tree.parent.mkdir(parents=True)
        tree.write_bytes(texts[written])
    if sealed != "not":
        seal_file = Path(layout.tree_digest(COMMIT))
        seal_file.parent.mkdir(parents=True)
        of = entries if sealed == "well" else others
        seal_file.write_bytes(format_seal(of, 1, 1))

    assert is_kept(layout, COMMIT, entries, data) is kept
