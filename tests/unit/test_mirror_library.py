from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cache_cases import overwrite

from hubloader.errors import CorruptFile, RepositoryNotFound, RevisionNotFound
from hubloader.mirror.library import FolderLibrary
from hubloader.types import RepoId

REPO = RepoId("org", "name")
LONG_AGO = 1_600_000_000  # seconds since the epoch


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        overwrite(path, content.encode())
    else:
        path.write_text(content, encoding="utf-8")
    os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "org/name/config.json", '{"at": "main"}')
    write(tmp_path / "org/name/model.safetensors", "weights")
    write(tmp_path / "org/name@v1.0/config.json", '{"at": "v1.0"}')
    write(tmp_path / "org/name@refs%2Fpr%2F1/config.json", '{"at": "pr"}')
    write(tmp_path / "org/name-two/config.json", "{}")
    write(tmp_path / "datasets/org/data/x.csv", "1,2")
    return tmp_path


def test_revisions_are_the_folders_beside_main(root: Path) -> None:
    revisions = FolderLibrary(root).revisions(REPO)

    assert list(revisions) == ["main", "refs/pr/1", "v1.0"]
    assert revisions["refs/pr/1"] == str(root / "org/name@refs%2Fpr%2F1")


def test_a_repository_needs_no_main(root: Path) -> None:
    write(root / "org/only@v2/config.json", "{}")

    assert list(FolderLibrary(root).revisions(RepoId("org", "only"))) == ["v2"]


@pytest.mark.parametrize(
    "revision", ["main", "refs/heads/main", "v1.0", "refs/tags/v1.0", "refs/pr/1"]
)
def test_a_revision_is_a_branch_a_tag_or_a_full_ref_name(root: Path, revision: str) -> None:
    snapshot = FolderLibrary(root).snapshot(REPO, revision)

    assert "config.json" in snapshot.files


def test_a_commit_is_found_in_full_and_short(root: Path) -> None:
    library = FolderLibrary(root)
    snapshot = library.snapshot(REPO, "v1.0")

    assert library.snapshot(REPO, snapshot.commit) is snapshot
    assert library.snapshot(REPO, snapshot.commit[:7]) is snapshot


def test_datasets_have_their_own_folder(root: Path) -> None:
    library = FolderLibrary(root)

    assert "x.csv" in library.snapshot(RepoId("org", "data", "dataset"), "main").files
    assert library.revisions(RepoId("org", "data")) == {}
    assert library.revisions(RepoId("datasets", "org")) == {}


def test_what_is_not_there_is_told_apart(root: Path) -> None:
    library = FolderLibrary(root)

    with pytest.raises(RepositoryNotFound):
        library.snapshot(RepoId("org", "nothing"), "main")
    with pytest.raises(RepositoryNotFound):
        library.snapshot(RepoId(None, "name"), "main")
    with pytest.raises(RevisionNotFound):
        library.snapshot(REPO, "v9")
    with pytest.raises(RevisionNotFound):
        library.snapshot(REPO, "0" * 40)


def test_a_changed_folder_is_a_new_commit_and_the_old_one_is_gone(root: Path) -> None:
    library = FolderLibrary(root)
    before = library.snapshot(REPO, "main").commit

    write(root / "org/name/config.json", '{"at": "MAIN"}')
    after = library.snapshot(REPO, "main").commit

    assert after != before
    with pytest.raises(RevisionNotFound):
        library.snapshot(REPO, before)


def test_files_of_a_known_commit_need_no_new_look_at_the_folder(root: Path) -> None:
    library = FolderLibrary(root)
    snapshot = library.snapshot(REPO, "main")

    assert library.known_file(REPO, snapshot.commit, "config.json") is snapshot
    assert library.known_file(REPO, snapshot.commit, "not-there.json") is snapshot
    assert library.known_file(REPO, "main", "config.json") is None
    assert library.known_file(REPO, "0" * 40, "config.json") is None


def test_a_file_that_changed_is_not_served_under_its_old_commit(root: Path) -> None:
    library = FolderLibrary(root)
    snapshot = library.snapshot(REPO, "main")

    write(root / "org/name/config.json", '{"at": "MAIN"}')

    assert library.known_file(REPO, snapshot.commit, "config.json") is None
    assert library.known_file(REPO, snapshot.commit, "model.safetensors") is snapshot


def test_lfs_content_is_found_by_its_hash_until_it_changes(root: Path) -> None:
    library = FolderLibrary(root)
    file = library.snapshot(REPO, "main").files["model.safetensors"]
    assert file.entry.sha256 is not None

    assert library.by_digest(file.entry.sha256) is file
    assert library.by_digest("0" * 64) is None

    write(root / "org/name/model.safetensors", "WEIGHTS")
    assert library.by_digest(file.entry.sha256) is None


def test_the_configuration_is_read_again_when_it_changes(root: Path) -> None:
    library = FolderLibrary(root)
    assert library.canonical(RepoId(None, "old")) == RepoId(None, "old")

    (root / "hub.json").write_text(json.dumps({"aliases": {"old": "org/name"}}))
    assert library.canonical(RepoId(None, "old")) == REPO

    (root / "hub.json").write_text("{")
    with pytest.raises(CorruptFile):
        library.canonical(REPO)


def test_new_lfs_patterns_count_for_files_already_hashed(root: Path) -> None:
    library = FolderLibrary(root)
    assert not library.snapshot(REPO, "main").files["config.json"].entry.is_lfs

    (root / "hub.json").write_text(json.dumps({"lfs": ["*.json"]}))

    assert library.snapshot(REPO, "main").files["config.json"].entry.is_lfs
