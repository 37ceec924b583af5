"""The operations that change the cache, where others change it at the same time."""

from __future__ import annotations

import os

import pytest

from hubloader.cache import disk


def test_a_folder_that_others_make_and_take_away_meanwhile_is_made(tmp_path, monkeypatch):
    path, real, calls = tmp_path / "tmp", os.mkdir, []

    def lost_to_another(folder, mode=0o777):
        calls.append(folder)
        if len(calls) < 3:  # it was there, and is empty and gone again when it is looked at
            raise FileExistsError(folder)
        real(folder, mode)

    monkeypatch.setattr(os, "mkdir", lost_to_another)

    assert disk.make_folders(str(path)) == [str(tmp_path)]
    assert path.is_dir()


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path):
    (tmp_path / "tmp").write_bytes(b"")

    with pytest.raises(FileExistsError):
        disk.make_folders(str(tmp_path / "tmp"))
