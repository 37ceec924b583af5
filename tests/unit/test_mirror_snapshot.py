from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from cache_cases import overwrite

from hubloader.mirror import snapshot as snapshot_module
from hubloader.mirror.snapshot import Snapshot, take_snapshot

LFS = ("*.safetensors", "saved_model/*")
LONG_AGO = 1_600_000_000  # seconds since the epoch


def lay(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def take(folder: Path, previous: Snapshot | None = None) -> Snapshot:
    return take_snapshot(str(folder), LFS, previous)


def test_commit_and_folders_are_gits_own(tmp_path: Path) -> None:
    lay(tmp_path, config_dot_json="{}\n", a__b__x_dot_txt="hi\n", a_dot_txt="z\n", a0="z\n")

    snapshot = take(tmp_path)

    assert snapshot.commit == "cba8d9ffa5b07f9763ac0cb75cf9a43a658f63f7"
    assert snapshot.folders == {
        "a": "90b02c774cd528fc168b803db78186f377d7f512",
        "a/b": "18e0904aa8a37b3e83a1d7ef282bb0d8455a26dc",
    }
    assert list(snapshot.files) == ["a.txt", "a/b/x.txt", "a0", "config.json"]


def test_equal_content_has_an_equal_commit_wherever_it_lies(tmp_path: Path) -> None:
    one = take(lay(tmp_path / "one", config_dot_json="{}"))
    two = take(lay(tmp_path / "two", config_dot_json="{}"))
    other = take(lay(tmp_path / "three", config_dot_json="{ }"))

    assert one.commit == two.commit != other.commit


def test_an_empty_folder_is_a_commit_without_files(tmp_path: Path) -> None:
    snapshot = take(tmp_path)

    assert snapshot.files == {}
    assert snapshot.folders == {}
    assert snapshot.modified == 0


def test_files_are_lfs_by_pattern_in_any_folder(tmp_path: Path) -> None:
    lay(
        tmp_path,
        model_dot_safetensors="w",
        onnx__model_dot_safetensors="w",
        saved_model__deep__x="w",
        config_dot_json="w",
    )

    files = take(tmp_path).files

    assert {name for name, file in files.items() if file.entry.is_lfs} == {
        "model.safetensors",
        "onnx/model.safetensors",
        "saved_model/deep/x",
    }


def test_an_lfs_file_is_named_by_sha256_and_git_holds_its_pointer(tmp_path: Path) -> None:
    lay(tmp_path, model_dot_safetensors="weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 7\n".encode()
    in_git = hashlib.sha1(b"blob %d\x00" % len(pointer) + pointer).hexdigest()

    file = take(tmp_path).files["model.safetensors"]

    assert file.entry.sha256 == sha256
    assert file.entry.git_sha1 == in_git
    assert file.entry.size == 7
    assert file.pointer_size == len(pointer)


def test_a_file_too_large_for_git_is_lfs_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "LFS_SIZE", 10)
    lay(tmp_path, just_dot_txt="0123456789", above_dot_txt="0123456789a")

    files = take(tmp_path).files

    assert not files["just.txt"].entry.is_lfs
    assert files["above.txt"].entry.is_lfs


def test_what_tools_leave_behind_is_not_served(tmp_path: Path) -> None:
    lay(tmp_path, config_dot_json="{}")
    for name in (".git/HEAD", ".hubloader/x", ".cache/huggingface/download/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".gitattributes").write_text("x")

    assert set(take(tmp_path).files) == {"config.json", ".gitattributes"}


def test_links_to_files_are_followed_and_links_to_folders_and_to_nothing_are_not(
    tmp_path: Path,
) -> None:
    elsewhere = lay(tmp_path / "elsewhere", config_dot_json="{}")
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "config.json").symlink_to(elsewhere / "config.json")
    (repo / "loop").symlink_to(repo)
    (repo / "gone").symlink_to(repo / "nothing")

    assert set(take(repo).files) == {"config.json"}


def test_names_that_no_client_could_store_are_left_out(tmp_path: Path) -> None:
    lay(tmp_path, config_dot_json="{}")
    (tmp_path / "back\\slash").write_text("x")
    (tmp_path / "nul.txt").write_text("x")

    assert set(take(tmp_path).files) == {"config.json"}


def test_an_unchanged_folder_is_the_same_snapshot(tmp_path: Path) -> None:
    lay(tmp_path, config_dot_json="{}", model_dot_safetensors="w")
    first = take(tmp_path)

    assert take(tmp_path, first) is first


def test_only_what_changed_is_hashed_again(tmp_path: Path) -> None:
    lay(tmp_path, config_dot_json="{}", vocab_dot_txt="a")
    first = take(tmp_path)

    lay(tmp_path, config_dot_json="{ }")
    second = take(tmp_path, first)

    assert second.commit != first.commit
    assert second.files["vocab.txt"] is first.files["vocab.txt"]
    assert second.files["config.json"].entry.size == 3


def test_a_removed_file_makes_another_commit(tmp_path: Path) -> None:
    lay(tmp_path, config_dot_json="{}", vocab_dot_txt="a")
    first = take(tmp_path)

    (tmp_path / "vocab.txt").unlink()

    assert set(take(tmp_path, first).files) == {"config.json"}


def test_a_file_written_a_moment_ago_is_hashed_again_since_its_stamp_proves_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    os.utime(path, (2**32, 2**32))  # from the future: as fresh as can be

    file = take(tmp_path).files["config.json"]

    assert not file.settled
    assert not file.is_current()


def test_a_file_is_current_until_it_changes_or_goes(tmp_path: Path) -> None:
    lay(tmp_path, config_dot_json="{}")
    file = take(tmp_path).files["config.json"]

    assert file.is_current()

    overwrite(tmp_path / "config.json", b"[]")
    os.utime(tmp_path / "config.json", (LONG_AGO, LONG_AGO))
    assert not file.is_current()

    (tmp_path / "config.json").unlink()
    assert not file.is_current()
