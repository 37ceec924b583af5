"""Sets of files: a folder, and a snapshot that brings what was not wanted at first."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubloader.errors import EntryNotFound, InvalidReference
from hubloader.resolve.files import DirectoryFiles, SnapshotFiles
from hubloader.types import CommitHash, Entry, Manifest, RepoId


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", "sub/vocab.txt", ".git/HEAD", ".cache/huggingface/x.metadata"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_folder_names_its_files_and_leaves_out_what_tools_keep_there(folder):
    assert DirectoryFiles(folder).names() == {"config.json", "sub/vocab.txt"}


def test_a_subfolder_is_a_set_of_its_own(folder):
    files = DirectoryFiles(folder, "sub")

    assert files.names() == {"vocab.txt"}
    assert files.path("vocab.txt") == folder / "sub" / "vocab.txt"
    assert files.exists("vocab.txt")
    assert not files.exists("config.json")


def test_a_file_that_is_not_there_is_named(folder):
    with pytest.raises(EntryNotFound, match=r"no file 'model\.safetensors'") as failure:
        DirectoryFiles(folder).path("model.safetensors")

    assert failure.value.filename == "model.safetensors"


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "sub/../config.json"])
def test_a_name_does_not_leave_the_folder(folder, name):
    files = DirectoryFiles(folder)

    with pytest.raises(InvalidReference):
        files.path(name)
    with pytest.raises(InvalidReference):
        files.exists(name)


def test_a_folder_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(EntryNotFound, match="no folder"):
        DirectoryFiles(tmp_path, "nothing")


def snapshot(**overrides):
    entries = {name: Entry(1, git_sha1="a" * 40) for name in ("s/a", "s/b", "c")}
    manifest = Manifest(RepoId.parse("org/name"), "main", CommitHash("c" * 40), entries)
    fetched: list[str] = []

    def fetch(filename: str) -> Path:
        fetched.append(filename)
        return Path("/cache") / filename

    values = {
        "subfolder": "s",
        "fetch": fetch,
        "available": lambda: frozenset(manifest.entries),
        **overrides,
    }
    return SnapshotFiles(manifest, {"s/a": Path("/cache/s/a")}, **values), fetched


def test_a_snapshot_fetches_what_was_not_wanted_once():
    files, fetched = snapshot()

    assert files.path("a") == Path("/cache/s/a")
    assert fetched == []
    assert files.path("b") == files.path("b") == Path("/cache/s/b")
    assert fetched == ["s/b"]


def test_a_snapshot_names_what_can_be_had_below_its_subfolder():
    files, _ = snapshot()
    offline, _ = snapshot(available=frozenset)

    assert files.names() == {"a", "b"}
    assert offline.names() == {"a"}
    assert [offline.exists("a"), offline.exists("b"), files.exists("b")] == [True, False, True]


def test_a_snapshot_describes_a_file_by_repository_and_revision():
    files, _ = snapshot()

    assert files.describe("a") == "s/a of org/name@main"
    assert files.describe() == "org/name@main"
