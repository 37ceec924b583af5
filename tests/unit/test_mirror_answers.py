from __future__ import annotations

from hubloader.mirror import answers
from hubloader.mirror.config import MirrorConfig
from hubloader.mirror.snapshot import ServedFile, Snapshot, Stamp
from hubloader.types import CommitHash, Entry, RepoId

COMMIT = CommitHash("c" * 40)
REPO = RepoId("org", "name")


def served(size: int, sha256: str | None = None) -> ServedFile:
    stamp = Stamp(1, size, 1_700_000_000_123_000_000, 0)
    return ServedFile("/x", stamp, Entry(size, "a" * 40, sha256), 130 if sha256 else 0)


SNAPSHOT = Snapshot(
    COMMIT,
    {
        "b.txt": served(1),
        "config.json": served(2),
        "model.safetensors": served(3, "d" * 64),
        "onnx/deep/model.onnx": served(4, "e" * 64),
        "onnx/x.json": served(5),
    },
    {"onnx": "1" * 40, "onnx/deep": "2" * 40},
)


def paths(items: list[dict[str, object]] | None) -> list[object]:
    assert items is not None
    return [item["path"] for item in items]


def test_info_names_every_file_and_with_blobs_its_size_and_hashes() -> None:
    plain = answers.repo_info(REPO, SNAPSHOT, MirrorConfig())
    full = answers.repo_info(REPO, SNAPSHOT, MirrorConfig(), blobs=True)

    assert plain["sha"] == COMMIT
    assert plain["id"] == "org/name"
    assert plain["siblings"][0] == {"rfilename": "b.txt"}
    assert full["siblings"][0] == {"rfilename": "b.txt", "blobId": "a" * 40, "size": 1}
    assert full["siblings"][2]["lfs"] == {"sha256": "d" * 64, "size": 3, "pointerSize": 130}
    assert full["usedStorage"] == 15
    assert full["lastModified"] == "2023-11-14T22:13:20.123Z"


def test_info_says_whether_a_repository_is_gated_or_private() -> None:
    config = MirrorConfig(gated=frozenset({REPO}), private=frozenset({REPO}))

    info = answers.repo_info(REPO, SNAPSHOT, config)

    assert (info["gated"], info["private"]) == ("manual", True)
    assert answers.repo_info(REPO, SNAPSHOT, MirrorConfig())["gated"] is False


def test_a_tree_is_one_level_or_all_of_it_sorted_by_path() -> None:
    flat = answers.tree_names(SNAPSHOT, "", recursive=False)
    deep = answers.tree_names(SNAPSHOT, "", recursive=True)

    assert flat == ["b.txt", "config.json", "model.safetensors", "onnx"]
    assert deep == sorted([*SNAPSHOT.files, *SNAPSHOT.folders])


def test_a_tree_of_a_folder_holds_full_paths() -> None:
    flat = answers.tree_names(SNAPSHOT, "onnx", recursive=False)

    assert flat == ["onnx/deep", "onnx/x.json"]
    assert answers.tree_names(SNAPSHOT, "nothing", recursive=True) is None
    assert answers.tree_names(SNAPSHOT, "b.txt", recursive=True) is None


def test_items_say_what_the_hub_says() -> None:
    items = answers.path_items(
        SNAPSHOT, ["model.safetensors", "onnx/", "nothing", "b.txt"], expand=False
    )

    assert items == [
        {
            "type": "file",
            "oid": "a" * 40,
            "size": 3,
            "path": "model.safetensors",
            "lfs": {"oid": "d" * 64, "size": 3, "pointerSize": 130},
        },
        {"type": "directory", "oid": "1" * 40, "size": 0, "path": "onnx"},
        {"type": "file", "oid": "a" * 40, "size": 1, "path": "b.txt"},
    ]


def test_expand_adds_the_last_commit() -> None:
    (item,) = answers.path_items(SNAPSHOT, ["b.txt"], expand=True)

    assert item["lastCommit"]["id"] == COMMIT


def test_refs_are_grouped_as_git_names_them() -> None:
    commits = {"main": "1" * 40, "v1": "2" * 40, "refs/pr/1": "3" * 40, "refs/convert/x": "4" * 40}

    found = answers.refs(commits, frozenset({"v1"}), pull_requests=True)

    assert found["branches"] == [
        {"name": "main", "ref": "refs/heads/main", "targetCommit": "1" * 40}
    ]
    assert found["tags"] == [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": "2" * 40}]
    assert found["pullRequests"][0]["ref"] == "refs/pr/1"
    assert found["converts"][0]["ref"] == "refs/convert/x"
    assert "pullRequests" not in answers.refs(commits, frozenset(), pull_requests=False)


def test_a_user_is_told_without_the_token_itself() -> None:
    assert "hf_secret" not in str(answers.user("hf_secret"))
