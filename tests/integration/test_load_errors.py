"""What goes wrong with a name: each its class, one sentence, a hint, and the cache as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import hubloader
from hubloader import errors
from hubloader.mirror import MirrorServer

GOOD = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
CONFIG = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
LOADERS = ["AutoTokenizer", "NpAutoModelForSequenceClassification"]


@pytest.fixture(scope="module")
def hub(fixture_hub: Path, tmp_path_factory: pytest.TempPathFactory):
    """The fixture Hub's good model, and repositories with something wrong."""
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(fixture_hub / GOOD, root / GOOD)
    configs = {
        "org/broken-json": '{"model_type": "bert",',
        "org/not-an-object": "null",
        "org/negative": json.dumps({**CONFIG, "hidden_size": -1}),
        "org/strange": json.dumps({"model_type": "distilbret"}),
        "org/gated": json.dumps(CONFIG),
        "org/private": json.dumps(CONFIG),
    }
    for repo_id, config in configs.items():
        shutil.copytree(fixture_hub / GOOD, root / repo_id)
        (root / repo_id / "config.json").write_text(config)
    marks = {"gated": ["org/gated"], "private": ["org/private"], "tokens": {"hf_stranger": []}}
    (root / "hub.json").write_text(json.dumps(marks))
    with MirrorServer(root) as server:
        yield server


@pytest.fixture
def cache(hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds the good model already."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    for loader in LOADERS:
        getattr(hubloader, loader).from_pretrained(GOOD)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def fails(loader: str, name: str, expected: type[errors.HubloaderError], **keywords):
    with pytest.raises(expected) as caught:
        getattr(hubloader, loader).from_pretrained(name, **keywords)
    error = caught.value
    assert error.hint
    assert "\n" not in error.sentence()
    return error


CASES = [
    ("org/nowhere", {}, errors.RepositoryNotFound, LOADERS),
    (GOOD, {"revision": "no-such-branch"}, errors.RevisionNotFound, LOADERS),
    ("org/gated", {}, errors.GatedRepository, LOADERS),
    ("org/private", {}, errors.RepositoryNotFound, LOADERS),
    ("org/private", {"token": "hf_stranger"}, errors.RepositoryNotFound, LOADERS),
    ("org/broken-json", {}, errors.CorruptFile, LOADERS),
    ("org/not-an-object", {}, errors.CorruptFile, LOADERS),
    ("org/negative", {}, errors.CorruptFile, LOADERS[1:]),
    ("org/strange", {}, errors.UnknownArchitecture, LOADERS[1:]),
    ("org/name/with/slashes", {}, errors.InvalidReference, LOADERS),
    (GOOD, {"revision": "../../etc"}, errors.InvalidReference, LOADERS),
    (GOOD, {"trust_remote_code": True}, errors.RemoteCodeRefused, LOADERS),
]


@pytest.mark.parametrize(
    ("loader", "name", "keywords", "expected"),
    [(loader, name, kw, cls) for name, kw, cls, loaders in CASES for loader in loaders],
)
def test_a_failure_has_its_class_and_leaves_the_cached_model(
    cache: Path, loader: str, name: str, keywords: dict, expected: type
):
    before = contents(cache)

    error = fails(loader, name, expected, **keywords)

    if expected is not errors.RemoteCodeRefused:
        assert name.split("@", maxsplit=1)[0] in (error.repo_id or str(error))
    after = contents(cache)
    assert {path: after.get(path) for path in before} == before
    for good in LOADERS:
        assert getattr(hubloader, good).from_pretrained(GOOD, local_files_only=True) is not None


def test_a_name_near_a_known_one_is_suggested(cache: Path):
    error = fails("NpAutoModelForSequenceClassification", "org/strange", errors.UnknownArchitecture)

    assert error.model_type == "distilbret"
    assert "distilbert" in error.close_matches


@pytest.mark.parametrize("loader", LOADERS)
def test_no_network_and_nothing_cached(loader: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    unreachable = fails(loader, "org/name", errors.CacheMiss)
    offline = fails(loader, "org/name", errors.CacheMiss, local_files_only=True)

    assert (unreachable.exit_code, offline.exit_code) == (75, 6)
    assert isinstance(unreachable.__cause__, errors.TransportError)


def test_a_hub_that_went_away_costs_one_warning(cache: Path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    with pytest.warns(UserWarning, match="cached") as caught:
        for loader in LOADERS:
            getattr(hubloader, loader).from_pretrained(GOOD)

    assert len(caught) == 1
