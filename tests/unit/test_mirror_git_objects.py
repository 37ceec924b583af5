from __future__ import annotations

import hashlib
import io

from hubloader.mirror.git_objects import (
    FILE_MODE,
    FOLDER_MODE,
    commit_id,
    git_blob_id,
    lfs_pointer,
    sha256_of,
    tree_id,
)

BLOB_Z = "b68025345d5301abad4d9ec9166f455243a0d746"  # git hash-object of "z\n"


def test_a_file_has_the_id_that_git_gives_it() -> None:
    assert git_blob_id(io.BytesIO(b"{}\n"), 3) == "0967ef424bce6791893e9a57bb952f80fd536e93"
    assert git_blob_id(io.BytesIO(b""), 0) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_a_large_stream_is_hashed_whole() -> None:
    content = bytes(3 * (1 << 20) + 7)

    assert sha256_of(io.BytesIO(content)) == hashlib.sha256(content).hexdigest()


def test_a_tree_has_the_id_that_git_write_tree_gives_it() -> None:
    entries = [
        (FILE_MODE, "a0", BLOB_Z),
        (FILE_MODE, "config.json", "0967ef424bce6791893e9a57bb952f80fd536e93"),
        (FOLDER_MODE, "a", "90b02c774cd528fc168b803db78186f377d7f512"),
        (FILE_MODE, "a.txt", BLOB_Z),
    ]

    assert tree_id(entries) == "e08314a5d2061bd64ab6510c1e4b3d76a4580c38"
    assert tree_id([]) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_a_commit_depends_on_its_tree_alone_and_is_a_git_commit() -> None:
    tree = "e08314a5d2061bd64ab6510c1e4b3d76a4580c38"

    assert commit_id(tree) == "cba8d9ffa5b07f9763ac0cb75cf9a43a658f63f7"


def test_an_lfs_pointer_is_the_text_that_git_lfs_writes() -> None:
    pointer = lfs_pointer("ab" * 32, 12)

    assert pointer.decode().splitlines() == [
        "version https://git-lfs.github.com/spec/v1",
        f"oid sha256:{'ab' * 32}",
        "size 12",
    ]
