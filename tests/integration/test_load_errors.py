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
FAST = "fixtures/bert-tiny-sentiment"  # with a tokenizer.json, where the other has a vocabulary
LOADERS = ["AutoTokenizer", "NpAutoModelForSequenceClassification"]


@pytest.fixture(scope="module")
def hub(fixture_hub: Path, tmp_path_factory: pytest.TempPathFactory):
    """The fixture Hub's good model, and repositories with something wrong."""
    root = tmp_path_factory.mktemp("hub")
    for good in (GOOD, FAST):
        shutil.copytree(fixture_hub / good, root / good)
    configs = {
        "org/broken-json": '{"model_type": "bert",',
        "org/not-an-object": "null",
        "org/nameless": "{}",
        "org/negative": json.dumps({**CONFIG, "hidden_size": -1}),
        "org/strange": json.dumps({"model_type": "distilbret"}),
        "org/gated": json.dumps(CONFIG),
        "org/private": json.dumps(CONFIG),
    }
    for repo_id, config in configs.items():
        for made_of, folder in ((GOOD, root / repo_id), (FAST, root / f"{repo_id}-fast")):
            shutil.copytree(fixture_hub / made_of, folder)
            (folder / "config.json").write_text(config)
    marks = {
        "gated": ["org/gated", "org/gated-fast"],
        "private": ["org/private", "org/private-fast"],
        "tokens": {"hf_stranger": []},
    }
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


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """Every path below ``folder``: a link's target, a file's bytes, None for a folder."""
    return {path.relative_to(folder).as_posix(): _content(path) for path in folder.rglob("*")}


def _content(path: Path) -> bytes | str | None:
    if path.is_symlink():
        return str(path.readlink())
    return None if path.is_dir() else path.read_bytes()


def is_of(repo_id: str, path: str) -> bool:
    """Whether a path of the cache is one that downloading the repository makes."""
    return f"models--{repo_id.replace('/', '--')}" in path


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
    ("org/broken-json-fast", {}, errors.CorruptFile, LOADERS),
    ("org/not-an-object-fast", {}, errors.CorruptFile, LOADERS),
    ("org/gated-fast", {}, errors.GatedRepository, LOADERS),
    ("org/private-fast", {}, errors.RepositoryNotFound, LOADERS),
    ("org/negative", {}, errors.CorruptFile, LOADERS[1:]),
    ("org/negative-fast", {}, errors.CorruptFile, LOADERS[1:]),
    ("org/nameless", {}, errors.CorruptFile, LOADERS[1:]),
    (GOOD, {"subfolder": "nowhere"}, errors.EntryNotFound, LOADERS),
    (GOOD, {"variant": "fp16"}, errors.EntryNotFound, LOADERS[1:]),
    (f"{GOOD}@main", {"revision": "main"}, errors.InvalidReference, LOADERS),
    (GOOD, {"force_download": True, "local_files_only": True}, errors.InvalidReference, LOADERS),
    (GOOD, {"refresh": "sometimes"}, errors.InvalidReference, LOADERS),
    ("org/strange", {}, errors.UnknownArchitecture, LOADERS[1:]),
    ("org/name/with/slashes", {}, errors.InvalidReference, LOADERS),
    (GOOD, {"revision": "../../etc"}, errors.InvalidReference, LOADERS),
    (GOOD, {"trust_remote_code": True}, errors.RemoteCodeRefused, LOADERS),
]


DOWNLOADED = {
    *("org/broken-json", "org/not-an-object", "org/negative", "org/strange", "org/nameless"),
    *("org/broken-json-fast", "org/not-an-object-fast", "org/negative-fast"),
}


@pytest.mark.parametrize(
    ("loader", "name", "keywords", "expected"),
    [(loader, name, kw, cls) for name, kw, cls, loaders in CASES for loader in loaders],
)
def test_a_failure_has_its_class_and_leaves_the_cached_model(
    cache: Path, loader: str, name: str, keywords: dict, expected: type
):
    before = contents(cache)

    error = fails(loader, name, expected, **keywords)

    assert error.repo_id == name.partition("@")[0]
    if name.count("/") == 1:
        assert error.revision == keywords.get("revision", "main")
    after = contents(cache)
    if name in DOWNLOADED:  # docs/concepts/cache.md: what was verified stays, as a valid cache
        after = {path: what for path, what in after.items() if not is_of(name, path)}
    assert after == before
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


def test_an_error_of_a_name_with_a_revision_carries_both_apart(cache: Path):
    for loader in LOADERS:
        error = fails(loader, "org/broken-json-fast@main", errors.CorruptFile)

        assert (error.repo_id, error.revision) == ("org/broken-json-fast", "main")


def test_a_refresh_that_is_none_lists_those_there_are(cache: Path):
    error = fails(LOADERS[0], GOOD, errors.InvalidReference, refresh="sometimes")

    assert all(word in str(error) for word in ("'always'", "'session'", "'never'"))


def test_a_folder_that_is_not_there_is_named(cache: Path):
    error = fails(LOADERS[0], GOOD, errors.EntryNotFound, subfolder="nowhere")

    assert "no folder 'nowhere'" in error.message
    assert error.filename == "nowhere"


@pytest.mark.parametrize("asked", [{"variant": "fp16"}, {"use_safetensors": False}])
def test_weights_that_are_not_there_say_which_are(cache: Path, asked: dict):
    error = fails(LOADERS[1], FAST, errors.EntryNotFound, **asked)

    assert "model.safetensors" in error.hint
    assert "revision 'main'" in error.message


def test_a_file_that_is_not_there_has_a_hint_online_and_offline(cache: Path):
    for offline in (False, True):
        with pytest.raises(errors.EntryNotFound) as caught:
            hubloader.hf_hub_download(GOOD, "nope.txt", local_files_only=offline)

        assert "config.json" in caught.value.hint
