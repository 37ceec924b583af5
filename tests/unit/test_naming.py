"""Names that a disk cannot hold are refused before anything is fetched."""

from __future__ import annotations

import pytest
from cache_cases import COMMIT, REPO, manifest

from hubloader.cache import CacheStore
from hubloader.cache.layout import CacheLayout
from hubloader.cache.naming import check_names, is_case_sensitive, longest_path
from hubloader.errors import InvalidReference


def check(root, names, **options):
    check_names(CacheLayout(root).repo(REPO), COMMIT, names, **options)


def test_names_that_differ_by_case_are_refused_where_case_does_not_count(tmp_path):
    names = ["Model.bin", "model.bin", "other"]

    check(tmp_path, names, case_sensitive=True)
    with pytest.raises(InvalidReference, match=r"Model\.bin and model\.bin"):
        check(tmp_path, names, case_sensitive=False)


def test_names_that_differ_by_unicode_composition_are_refused_there_too(tmp_path):
    with pytest.raises(InvalidReference):
        check(tmp_path, ["caf\u00e9", "cafe\u0301"], case_sensitive=False)


def test_a_repository_is_not_put_into_the_folder_of_another_one(tmp_path):
    (tmp_path / "models--Org--Name").mkdir()

    check(tmp_path, ["a"], case_sensitive=True)
    with pytest.raises(InvalidReference, match="models--Org--Name"):
        check(tmp_path, ["a"], case_sensitive=False)
    (tmp_path / "models--org--name").mkdir()
    check(tmp_path, ["a"], case_sensitive=False)


def test_a_path_that_is_too_long_is_refused_and_the_next_shorter_is_not(tmp_path):
    folder = len(str(tmp_path / "models--org--name" / "snapshots" / COMMIT / ""))
    fits = "f" * (400 - folder - 1 - 64)

    check(tmp_path, [fits], limit=400)
    with pytest.raises(InvalidReference, match="too long: 401 of 400 bytes"):
        check(tmp_path, [fits + "f"], limit=400)


def test_length_counts_bytes_and_not_letters(tmp_path):
    folder = len(str(tmp_path / "models--org--name" / "snapshots" / COMMIT / ""))
    limit = folder + 1 + 64 + 150

    check(tmp_path, ["e" * 100], limit=limit)
    with pytest.raises(InvalidReference, match="too long"):
        check(tmp_path, ["\u00e9" * 100], limit=limit)


def test_a_store_refuses_before_it_makes_anything(tmp_path):
    deep = "/".join(["d" * 200] * 10)
    wanted = manifest({deep: b"x"})
    root = tmp_path / "/".join(["r" * 200] * 9)

    with pytest.raises(InvalidReference):
        CacheStore(root).check_names(wanted, [deep, deep + "/" + "e" * 200])
    assert list(tmp_path.iterdir()) == []


def test_the_system_tells_of_itself(tmp_path):
    assert longest_path(str(tmp_path)) >= 259
    (tmp_path / "Probe").mkdir()
    assert is_case_sensitive(str(tmp_path / "Probe" / "none")) is not (tmp_path / "pROBE").exists()
