from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubloader.errors import CorruptFile
from hubloader.mirror.config import DEFAULT_LFS, MirrorConfig, read_config
from hubloader.types import RepoId


def written(folder: Path, document: object) -> Path:
    path = folder / "hub.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_without_the_file_everything_is_public(tmp_path: Path) -> None:
    config = read_config(tmp_path / "hub.json")

    assert config == MirrorConfig()
    assert config.lfs == DEFAULT_LFS


def test_every_key_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {
            "aliases": {"gpt2": "org/gpt2", "datasets/old": "datasets/org/new"},
            "gated": ["org/gated"],
            "private": ["spaces/org/app"],
            "tokens": {"hf_one": ["org/gated"], "hf_all": ["*"]},
            "tags": {"org/gpt2": ["v1"]},
            "lfs": ["*.dat"],
        },
    )

    config = read_config(path)

    assert config.aliases == {
        RepoId(None, "gpt2"): RepoId("org", "gpt2"),
        RepoId(None, "old", "dataset"): RepoId("org", "new", "dataset"),
    }
    assert config.gated == {RepoId("org", "gated")}
    assert config.private == {RepoId("org", "app", "space")}
    assert config.tags == {RepoId("org", "gpt2"): frozenset({"v1"})}
    assert config.lfs == ("*.dat",)


def test_a_token_reaches_what_it_names_and_the_star_reaches_all(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, {"tokens": {"hf_one": ["org/x"], "hf_all": ["*"]}}))

    assert config.reaches("hf_one", RepoId("org", "x"))
    assert not config.reaches("hf_one", RepoId("org", "y"))
    assert not config.reaches("hf_one", RepoId("org", "x", "dataset"))
    assert config.reaches("hf_all", RepoId("org", "y"))
    assert not config.reaches("hf_unknown", RepoId("org", "x"))


def test_an_alias_of_an_alias_leads_to_the_last(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, {"aliases": {"a": "org/b", "org/b": "org/c"}}))

    assert config.aliases[RepoId(None, "a")] == RepoId("org", "c")


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"alias": {}},
        {"aliases": []},
        {"aliases": {"a/b/c": "org/x"}},
        {"aliases": {"a": 1}},
        {"aliases": {"a": "org/b", "org/b": "a"}},
        {"gated": "org/x"},
        {"gated": [1]},
        {"private": ["../etc"]},
        {"tokens": {"hf": "org/x"}},
        {"tokens": ["hf"]},
        {"tags": {"org/x": "v1"}},
        {"lfs": "*.bin"},
    ],
)
def test_what_it_cannot_mean_is_an_error_that_names_the_file(
    tmp_path: Path, document: object
) -> None:
    path = written(tmp_path, document)

    with pytest.raises(CorruptFile, match=r"hub\.json cannot be used"):
        read_config(path)


def test_text_that_is_no_json_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "hub.json"
    path.write_text("{", encoding="utf-8")

    with pytest.raises(CorruptFile, match=r"hub\.json cannot be used"):
        read_config(path)


def test_tokens_do_not_show_when_the_configuration_is_printed(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, {"tokens": {"hf_secret": ["*"]}}))

    assert "hf_secret" not in repr(config)
