"""The library against a Hub that answers as huggingface.co does, redirect for redirect."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_hub import FaultHub

from hubloader.auto.downloads import hf_hub_download
from hubloader.auto.prefetch import prefetch

NAME = "distilbert-base-uncased-finetuned-sst-2-english"


def test_files_come_through_relative_redirects_of_a_renamed_repository(
    fixture_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultHub(fixture_hub, like_production=True) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        brought = prefetch(NAME, uses=["tokenizer", "numpy"])
        card = hf_hub_download(NAME, "README.md")
        asked = hub.server.requests

    for filename in brought.files:
        original = fixture_hub / "distilbert" / NAME / filename
        assert (brought.path / filename).read_bytes() == original.read_bytes()
    assert Path(card).is_file()
    answers = [request.path for request in asked if request.status < 300]
    assert len(answers) == 1 + len(brought.files) + 1  # one listing, then each file once
    assert sum("/api/resolve-cache/" in path for path in answers) == len(brought.files)
