"""The command that an error tells brings what was missing: afterwards the same call succeeds."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import hubloader
from hubloader.cli.main import run
from hubloader.errors import CacheMiss
from hubloader.mirror import MirrorServer

NAME = "fixtures/bert-tiny-sentiment"

CALLS = {
    "a file that no use needs": lambda **k: hubloader.hf_hub_download(NAME, "README.md", **k),
    "a file": lambda **k: hubloader.hf_hub_download(NAME, "tokenizer.json", **k),
    "a snapshot": lambda **k: hubloader.snapshot_download(NAME, **k),
    "some of a snapshot": lambda **k: hubloader.snapshot_download(
        NAME, allow_patterns=["*.md", "v*"], ignore_patterns="*.txt", **k
    ),
    "a config": lambda **k: hubloader.AutoConfig.from_pretrained(NAME, **k),
    "a tokenizer": lambda **k: hubloader.AutoTokenizer.from_pretrained(NAME, **k),
    "a model": lambda **k: hubloader.NpAutoModel.from_pretrained(NAME, **k),
    "a revision": lambda **k: hubloader.hf_hub_download(NAME, "config.json", revision="fp16", **k),
}


@pytest.fixture
def hub(fixture_hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with MirrorServer(fixture_hub) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield server


@pytest.mark.parametrize("known", ["nothing is cached", "the listing is cached"])
@pytest.mark.parametrize("what", CALLS)
def test_the_command_that_a_miss_tells_cures_it(hub, capsys, what: str, known: str):
    if known == "the listing is cached":
        hubloader.hf_hub_download(NAME, "tokenizer_config.json")
        if what == "a revision":
            hubloader.hf_hub_download(NAME, "tokenizer_config.json", revision="fp16")
    with pytest.raises(CacheMiss) as caught:
        CALLS[what](local_files_only=True)

    command = shlex.split(re.search("`(hubloader prefetch .*?)`", caught.value.hint)[1])
    assert run(command[1:]) == 0

    assert CALLS[what](local_files_only=True) is not None


def test_a_model_that_is_not_there_offline_is_missed_at_once_with_its_weights(hub):
    hubloader.hf_hub_download(NAME, "tokenizer_config.json")

    with pytest.raises(CacheMiss) as caught:
        hubloader.NpAutoModel.from_pretrained(NAME, local_files_only=True)

    assert set(caught.value.missing) == {"config.json", "model.safetensors"}
