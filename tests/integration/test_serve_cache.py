"""``hubloader serve`` without a folder: what one machine has in its cache, others fetch from it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cache_cases import overwrite

import hubloader
from hubloader.cache.store import CacheStore
from hubloader.errors import EntryNotFound, RepositoryNotFound, RevisionNotFound
from hubloader.mirror import MirrorServer
from hubloader.mirror.cache_library import CacheLibrary
from hubloader.types import RepoId

TINY = "fixtures/bert-tiny-sentiment"


@pytest.fixture
def cache(fixture_hub: Path, tmp_path: Path) -> Path:
    """A cache that holds what a tokenizer and torch need of two revisions, and no README."""
    folder = tmp_path / "first"
    with MirrorServer(fixture_hub) as hub:
        for name in (TINY, f"{TINY}@fp16"):
            hubloader.prefetch(name, cache_dir=str(folder), endpoint=hub.url)
    return folder


@pytest.fixture
def server(cache: Path) -> Iterator[MirrorServer]:
    with MirrorServer(CacheLibrary(CacheStore(cache)), record=True) as running:
        yield running


def files_of(cache: Path) -> dict[str, bytes]:
    return {
        path.relative_to(cache).as_posix(): path.read_bytes()
        for path in sorted(cache.glob("models--*/snapshots/*/*"))
    }


def test_another_cache_is_filled_with_the_same_commits(
    cache: Path, server: MirrorServer, tmp_path: Path
) -> None:
    for name in (TINY, f"{TINY}@fp16"):
        hubloader.prefetch(name, cache_dir=str(tmp_path / "second"), endpoint=server.url)

    assert files_of(tmp_path / "second") == files_of(cache)


def test_a_commit_is_listed_as_the_hub_listed_it_also_where_files_were_not_fetched(
    server: MirrorServer, tmp_path: Path, fixture_hub: Path
) -> None:
    def listed(url: str) -> object:
        with urllib.request.urlopen(f"{url}/api/models/{TINY}/tree/main", timeout=60) as answer:
            return json.load(answer)

    with MirrorServer(fixture_hub) as hub:
        assert listed(server.url) == listed(hub.url)


def test_a_file_that_was_not_fetched_is_no_file_that_there_is_not(server: MirrorServer) -> None:
    def refused(filename: str) -> tuple[int, str | None]:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{server.url}/{TINY}/resolve/main/{filename}", timeout=60)
        return caught.value.code, caught.value.headers.get("X-Error-Code")

    assert refused("README.md") == (404, None)
    assert refused("nothing.txt") == (404, "EntryNotFound")


def test_what_the_cache_does_not_have_is_told_apart(server: MirrorServer, tmp_path: Path) -> None:
    where = {"cache_dir": str(tmp_path / "second"), "endpoint": server.url}

    with pytest.raises(RepositoryNotFound):
        hubloader.prefetch("no/such", **where)
    with pytest.raises(RevisionNotFound):
        hubloader.prefetch(f"{TINY}@v9", **where)
    with pytest.raises(EntryNotFound, match=r"README\.md"):
        hubloader.hf_hub_download(TINY, "README.md", **where)


def test_a_damaged_content_is_not_served(cache: Path, server: MirrorServer, tmp_path: Path) -> None:
    (pointer, *_) = cache.glob("models--*/snapshots/*/model.safetensors")
    blob = pointer.resolve()
    overwrite(blob, b"!" + blob.read_bytes()[1:])

    with pytest.raises(urllib.error.HTTPError) as caught:
        commit = pointer.parent.name
        url = f"{server.url}/{TINY}/resolve/{commit}/model.safetensors"
        urllib.request.urlopen(url, timeout=60)

    assert caught.value.code == 404
    assert not pointer.exists()


def test_what_is_fetched_later_is_served_then(
    cache: Path, server: MirrorServer, fixture_hub: Path, tmp_path: Path
) -> None:
    other = "fixtures/bert-tiny-sharded"
    with MirrorServer(fixture_hub) as hub:
        hubloader.prefetch(other, cache_dir=str(cache), endpoint=hub.url)
        hubloader.hf_hub_download(TINY, "README.md", cache_dir=str(cache), endpoint=hub.url)

    second = str(tmp_path / "second")
    done = hubloader.prefetch(other, cache_dir=second, endpoint=server.url)
    readme = hubloader.hf_hub_download(TINY, "README.md", cache_dir=second, endpoint=server.url)

    assert done.fetched_bytes > 0
    assert Path(readme).read_text()


def test_the_branches_are_listed_and_hubloaders_own_refs_are_not(cache: Path) -> None:
    store = CacheStore(cache)
    library = CacheLibrary(store)
    repo = RepoId.parse(TINY)
    commit = store.read_ref(repo, "main")
    assert commit is not None
    store.set_ref(repo, "hubloader/sentiment", commit)

    assert list(library.revisions(repo)) == ["main", "fp16"]


@pytest.mark.oracle
def test_unmodified_clients_load_from_it(server: MirrorServer, tmp_path: Path) -> None:
    code = (
        "from huggingface_hub import HfApi, snapshot_download\n"
        "from transformers import AutoConfig, AutoTokenizer\n"
        f"print([each.name for each in HfApi().list_repo_refs({TINY!r}).branches])\n"
        f"AutoConfig.from_pretrained({TINY!r})\n"
        f"print(AutoTokenizer.from_pretrained({TINY!r})('this is good')['input_ids'])\n"
        f"snapshot_download({TINY!r}, ignore_patterns=['README.md'])\n"
    )
    env = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "theirs"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "['main', 'fp16']"


def test_the_command_serves_the_cache_that_is_configured(cache: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hubloader", "serve", "--cache-dir", str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        second = str(tmp_path / "second")
        done = hubloader.prefetch(TINY, cache_dir=second, endpoint=url)
        process.terminate()

    assert len(done.files) == 4


def test_a_cache_that_is_not_there_cannot_be_served(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hubloader", "serve", "--cache-dir", str(tmp_path / "none")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert "none" in done.stderr
