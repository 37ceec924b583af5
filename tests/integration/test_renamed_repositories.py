"""A renamed repository is redirected once, by its listing; a name is never taken for another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ports import reserved_port

from hubloader import AutoTokenizer, hf_hub_download
from hubloader.errors import CacheMiss, RepositoryNotFound
from hubloader.hub.client import HubClient
from hubloader.mirror import MirrorServer
from hubloader.transport.memory import Answer, MemoryTransport
from hubloader.types import RepoId

COMMIT = "ab" * 20
INFO = json.dumps({"id": "org/new", "sha": COMMIT, "siblings": []}).encode()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    repo = tmp_path / "hub" / "org" / "new"
    repo.mkdir(parents=True)
    (repo / "config.json").write_text('{"model_type": "bert"}')
    (repo / "tokenizer_config.json").write_text("{}")
    (repo / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    aliases = {"old": "org/new", "org/old": "org/new"}
    (tmp_path / "hub" / "hub.json").write_text(json.dumps({"aliases": aliases}))
    with MirrorServer(tmp_path / "hub", record=True) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield server


@pytest.mark.parametrize("name", ["old", "org/old"])
def test_only_the_listing_is_redirected_and_the_folder_keeps_the_requested_name(
    hub, tmp_path, name
):
    AutoTokenizer.from_pretrained(name)

    redirected = [request.path for request in hub.requests if request.status == 307]
    assert redirected == [f"/api/models/{name}/revision/main?blobs=true"]
    assert len(hub.requests) == 5  # that, the listing, and three files
    folders = {path.name for path in (tmp_path / "home" / "hub").glob("models--*")}
    assert folders == {f"models--{name.replace('/', '--')}"}


@pytest.mark.parametrize(
    ("redirects", "source"), [(True, "org/new"), (False, "org/old")], ids=["redirects", "answers"]
)
def test_files_are_fetched_by_the_name_that_the_endpoint_has(redirects, source):
    info = "https://hub.example/api/models/org/{}/revision/main?blobs=true"
    moved = Answer(307, {"Location": info.format("new")})
    answers = {info.format("old"): moved if redirects else Answer(200, {}, INFO)}
    answers[info.format("new")] = Answer(200, {}, INFO)
    client = HubClient(MemoryTransport(answers), endpoint="https://hub.example")

    manifest = client.list_revision(RepoId.parse("org/old"), "main")

    assert manifest.canonical == "org/new"
    assert str(manifest.source) == source


@pytest.mark.parametrize("refresh", ["never", "session", 3600])
def test_a_one_part_name_is_not_guessed_where_the_hub_can_be_asked(hub, refresh):
    hf_hub_download("org/new", "config.json")

    with pytest.raises(RepositoryNotFound):
        AutoTokenizer.from_pretrained("new", refresh=refresh)


def test_a_one_part_name_is_the_one_cached_repository_of_that_name_offline(hub):
    hf_hub_download("org/new", "vocab.txt")

    assert hf_hub_download("new", "vocab.txt", local_files_only=True).endswith("vocab.txt")
    with pytest.raises(CacheMiss):
        hf_hub_download("other", "vocab.txt", local_files_only=True)


def test_a_one_part_name_is_the_one_cached_repository_of_that_name_when_no_hub_answers(hub):
    hf_hub_download("org/new", "vocab.txt")

    with reserved_port() as port:
        endpoint = f"http://127.0.0.1:{port}"
        with pytest.warns(UserWarning, match="org/new@main is used as cached"):
            assert hf_hub_download("new", "vocab.txt", endpoint=endpoint).endswith("vocab.txt")
        with pytest.raises(CacheMiss):
            hf_hub_download("other", "vocab.txt", endpoint=endpoint)
