"""A file that is replaced whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubloader.locking.drafts import replacing


def test_a_block_that_ends_well_replaces_the_file(tmp_path: Path) -> None:
    target = tmp_path / "models.lock"
    target.write_text("old")
    with replacing(str(target)) as draft:
        Path(draft).write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_fails_leaves_the_file_and_no_draft(tmp_path: Path) -> None:
    target = tmp_path / "models.lock"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(str(target)) as draft:
        Path(draft).write_text("half of")
        raise OSError("the disk is full")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_fails_before_it_wrote_anything_tells_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad"), replacing(str(tmp_path / "x")):
        raise ValueError("bad")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("letter", ["n", "漢"])
def test_a_name_as_long_as_the_disk_allows_has_a_draft_too(tmp_path: Path, letter: str) -> None:
    target = tmp_path / (letter * (255 // len(letter.encode())))
    with replacing(str(target)) as draft:
        Path(draft).write_text("new")
    assert target.read_text() == "new"
