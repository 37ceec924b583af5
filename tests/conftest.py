"""What every test stands on: a clean environment, and the project's own fixtures."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# Frameworks read these when they are imported, before any fixture runs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# What hypothesis draws is the same in every run, and may take what time it takes: neither luck nor
# the machine's speed decides. `--hypothesis-profile=search` draws anew each time.
settings.register_profile(
    "search", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile(
    "repeatable", settings.get_profile("search"), derandomize=True, database=None
)
settings.load_profile("repeatable")

# A shell's background job ignores SIGINT, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No variable of the developer's reaches a test; the cache and home are the test's own."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUBLOADER_", "HUGGING", "TRANSFORMERS_")) or name in {
            "XDG_CACHE_HOME",
            "DISABLE_TELEMETRY",
            "DO_NOT_TRACK",
            "GITHUB_ACTIONS",
            "GITHUB_STEP_SUMMARY",
            "GITLAB_CI",
        }:
            monkeypatch.delenv(name)
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf-home")))


@pytest.fixture(scope="session")
def fixture_hub() -> Path:
    """The folder of repositories that ``hubloader serve --root`` serves in the tests."""
    return ROOT / "cache_fixtures" / "hub"
