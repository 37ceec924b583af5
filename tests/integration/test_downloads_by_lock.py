"""While HUBLOADER_LOCK is set, the download functions give what is locked, and ask nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hubloader
from hubloader import hf_hub_download, snapshot_download
from hubloader.errors import CacheMiss, EntryNotFound, LockOutOfDate
from hubloader.mirror import MirrorServer

TINY = "fixtures/bert-tiny-sentiment"


@pytest.fixture
def hub(fixture_hub: Path) -> Iterator[MirrorServer]:
    with MirrorServer(fixture_hub, record=True) as server:
        yield server


@pytest.fixture
def commit(hub: MirrorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The locked commit, of another branch than main; the lock is in force, the Hub looked away."""
    (tmp_path / "models.toml").write_text(
        f'[models.sentiment]\nrepo = "{TINY}"\nrevision = "fp16"\nfor = ["tokenizer"]\n'
    )
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    done = hubloader.sync(tmp_path / "models.toml")
    hubloader.prefetch(TINY)  # main is in the cache as well
    hub.forget()
    monkeypatch.setenv("HUBLOADER_LOCK", str(tmp_path / "models.lock"))
    return done.models[0].commit


@pytest.mark.parametrize("name", [TINY, "sentiment"])
def test_files_are_of_the_locked_commit(hub: MirrorServer, commit: str, name: str) -> None:
    path = Path(hf_hub_download(name, "config.json"))

    assert path.parent.name == commit
    assert hf_hub_download(name, "config.json", revision="fp16") == str(path)
    assert Path(snapshot_download(name)).name == commit
    assert hub.requests == ()


def test_a_snapshot_is_the_locked_files(commit: str, tmp_path: Path) -> None:
    locked = [file.filename for file in snapshot_download(TINY, dry_run=True)]
    snapshot_download(TINY, allow_patterns="*.json", local_dir=tmp_path / "mine")

    assert "config.json" in locked
    assert "model.safetensors" not in locked
    placed = {path.name for path in (tmp_path / "mine").iterdir() if path.is_file()}
    assert placed == {name for name in locked if name.endswith(".json")}


def test_what_is_not_locked_is_refused(hub: MirrorServer, commit: str) -> None:
    with pytest.raises(EntryNotFound, match=r"has no model\.safetensors"):
        hf_hub_download(TINY, "model.safetensors")
    with pytest.raises(EntryNotFound, match="fits the patterns"):
        snapshot_download(TINY, allow_patterns="*.bin")
    with pytest.raises(LockOutOfDate, match="no model"):
        hf_hub_download("fixtures/bert-tiny-sharded", "config.json")
    with pytest.raises(LockOutOfDate, match="not 'main'"):
        snapshot_download(TINY, revision="main")
    assert hub.requests == ()


def test_what_is_not_synced_is_named(commit: str) -> None:
    blob = Path(hf_hub_download(TINY, "config.json")).resolve()
    blob.unlink()

    with pytest.raises(CacheMiss, match=r"config\.json"):
        hf_hub_download(TINY, "config.json")
